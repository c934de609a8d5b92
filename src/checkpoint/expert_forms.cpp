#include "checkpoint/expert_forms.h"

#include <cmath>
#include <numeric>

#include <ATen/ops/tensor.h>

#include "core/rng.h"
#include "ops/noise.h"

namespace evenkeel::checkpoint {
namespace {

constexpr Named<UpcycleMethod> kMethods[] = {
    {"copy", UpcycleMethod::copy}, {"noise", UpcycleMethod::noise}, {"drop", UpcycleMethod::drop}};
constexpr Named<ChangedRows> kChangedRows[] = {{"each", ChangedRows::each}, {"shared", ChangedRows::shared}};
constexpr Named<RouterInit> kRouterInits[] = {{"normal", RouterInit::normal},
                                              {"torch_rand", RouterInit::torch_rand},
                                              {"torch_rand_mean0", RouterInit::torch_rand_mean0},
                                              {"torch_normal_002", RouterInit::torch_normal_002},
                                              {"torch_normal_028", RouterInit::torch_normal_028},
                                              {"torch_rand_002", RouterInit::torch_rand_002}};
constexpr double kNoise = 0.02;

const at::TensorOptions kDoubles = at::TensorOptions().dtype(at::kDouble).device(at::kCPU);

uint64_t place_bits(const ExpertPlace& place) {
  return combine_bits(static_cast<uint64_t>(place.layer), static_cast<uint64_t>(place.expert));
}

// Of n values, with n - 1; 0 of one value.
at::Tensor deviation(const at::Tensor& values) {
  const auto squares = (values - values.mean()).square().sum();
  return (squares / std::max(1.0, static_cast<double>(values.numel()) - 1)).sqrt();
}

// Fisher and Yates's method.
std::vector<int64_t> permutation(RngStream rng, int64_t n) {
  std::vector<int64_t> out(static_cast<size_t>(n));
  std::iota(out.begin(), out.end(), 0);
  for (size_t i = out.size(); i > 1; --i) std::swap(out[i - 1], out[rng.below(i)]);
  return out;
}

at::Tensor ids_of(const std::vector<int64_t>& values) { return at::tensor(values, at::TensorOptions(at::kLong)); }

// Changes some rows of `rows` [I, H] in place.
void change_rows(at::Tensor rows, const ExpertChange& change, const ExpertPlace& place, const std::string& matrix) {
  const auto features = changed_features(change, place, matrix, rows.size(0));
  if (features.empty()) return;
  const auto ids = ids_of(features);
  const auto before = rows.index_select(0, ids);
  const uint64_t seed =
      combine_bits(combine_bits(change.seed, hash_text("upcycle/values." + matrix)), place_bits(place));
  const auto draws = ops::normal_noise(before.sizes(), seed, kDoubles);
  at::Tensor after = before + draws * kNoise;
  if (change.method == UpcycleMethod::drop) after = draws * deviation(before) + before.mean();
  rows.index_copy_(0, ids, after);
}

}  // namespace

std::span<const Named<UpcycleMethod>> names_of(UpcycleMethod) { return kMethods; }
std::span<const Named<ChangedRows>> names_of(ChangedRows) { return kChangedRows; }
std::span<const Named<RouterInit>> names_of(RouterInit) { return kRouterInits; }

at::Tensor drawn_router(RouterInit init, int64_t rows, int64_t width, uint64_t seed) {
  const std::vector<int64_t> sizes = {rows, width};
  const uint64_t bits = combine_bits(seed, hash_text("upcycle/router"));
  if (init == RouterInit::torch_normal_002) return ops::normal_noise(sizes, bits, kDoubles) * 0.02;
  if (init == RouterInit::torch_normal_028) return ops::normal_noise(sizes, bits, kDoubles) * 0.2887;
  const auto uniform = ops::uniform_noise(sizes, bits, kDoubles);
  if (init == RouterInit::torch_rand) return uniform;
  const auto centred = uniform - uniform.mean();
  return init == RouterInit::torch_rand_002 ? centred * (0.02 * std::sqrt(12.0)) : centred;
}

double upcycle_multiplier(double scale, int64_t n_blocks) {
  return std::pow(scale, 1 / static_cast<double>(n_blocks + 1));
}

at::Tensor shard_of_gate_up(const at::Tensor& gate_up, int64_t n_blocks, int64_t shard, int64_t n_shards) {
  const int64_t inner = gate_up.size(0) / (n_blocks * n_shards);
  const auto blocks = gate_up.reshape({n_blocks, n_shards, inner, -1}).select(1, shard).reshape({n_blocks * inner, -1});
  return gate_up.dim() == 1 ? blocks.view({-1}) : blocks;
}

at::Tensor shard_of_down(const at::Tensor& down, int64_t shard, int64_t n_shards) {
  const int64_t inner = down.size(1) / n_shards;
  return down.narrow(1, shard * inner, inner).contiguous();
}

std::vector<int64_t> expert_permutation(const ExpertChange& change, const ExpertPlace& place, int64_t inner) {
  if (change.method == UpcycleMethod::copy) {
    std::vector<int64_t> out(static_cast<size_t>(inner));
    std::iota(out.begin(), out.end(), 0);
    return out;
  }
  return permutation(RngStream(change.seed, "upcycle/permutation", place_bits(place)), inner);
}

std::vector<int64_t> changed_features(const ExpertChange& change, const ExpertPlace& place, const std::string& matrix,
                                      int64_t inner) {
  if (change.method == UpcycleMethod::copy) return {};
  const std::string of = change.rows == ChangedRows::each ? matrix : "all";
  auto out = permutation(RngStream(change.seed, "upcycle/rows." + of, place_bits(place)), inner);
  out.resize(static_cast<size_t>(static_cast<double>(inner) * change.ratio));
  return out;
}

at::Tensor changed_gate_up(const at::Tensor& gate_up, int64_t n_blocks, const ExpertChange& change,
                           const ExpertPlace& place) {
  const int64_t inner = gate_up.size(0) / n_blocks;
  if (change.method == UpcycleMethod::copy) return gate_up.to(at::kDouble);
  const auto order = ids_of(expert_permutation(change, place, inner));
  const auto out = gate_up.to(at::kDouble).reshape({n_blocks, inner, -1}).index_select(1, order);
  for (int64_t block = 0; block < n_blocks; ++block) change_rows(out[block], change, place, std::to_string(block));
  return out.view({n_blocks * inner, -1});
}

at::Tensor changed_down(const at::Tensor& down, const ExpertChange& change, const ExpertPlace& place) {
  if (change.method == UpcycleMethod::copy) return down.to(at::kDouble);
  const auto order = ids_of(expert_permutation(change, place, down.size(1)));
  const auto rows = down.to(at::kDouble).t().index_select(0, order);  // [I, H]
  change_rows(rows, change, place, "down");
  return rows.t().contiguous();
}

at::Tensor changed_bias(const at::Tensor& bias, int64_t n_blocks, const ExpertChange& change,
                        const ExpertPlace& place) {
  const int64_t inner = bias.size(0) / n_blocks;
  const auto order = ids_of(expert_permutation(change, place, inner));
  return bias.to(at::kDouble).reshape({n_blocks, inner}).index_select(1, order).view({-1});
}

at::Tensor noised_row(const at::Tensor& row, double relative, uint64_t seed, const ExpertPlace& place) {
  const auto wide = row.to(at::kDouble);
  const uint64_t bits = combine_bits(combine_bits(seed, hash_text("upcycle/router row")), place_bits(place));
  return wide + ops::normal_noise(wide.sizes(), bits, kDoubles) * (deviation(wide) * relative);
}

}  // namespace evenkeel::checkpoint
