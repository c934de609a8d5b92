#include "model/init.h"

#include <numeric>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "core/rng.h"
#include "model/layout.h"

namespace evenkeel::model {
namespace {

// N(0, std), drawn again beyond +-bound std.
struct Normal {
  double std = 0;
  double bound = 1e30;
};

constexpr double kStd = 0.02;

// flaxformer/t5x/configs/moe/architectures/moe.gin with SCALE = 0.1.
Normal t5_normal(const ParamSpec& spec) {
  if (spec.role == Role::embedding) return {1};
  if (spec.role == Role::router) return {kStd};
  const double std = std::sqrt(0.1 / static_cast<double>(spec.shape.back()));
  const bool is_attention = spec.role == Role::attention_in || spec.role == Role::attention_out;
  if (is_attention || spec.packing.is_stacked) return {std};
  constexpr double kBound = 2, kStdWithin = 0.87962566103423978;  // of a normal cut at +-2
  return {std / kStdWithin, kBound};
}

Normal normal_of(const ModelConfig& config, const ParamSpec& spec) {
  const bool is_output = spec.role == Role::attention_out || spec.role == Role::ffn_out;
  const auto n_layers = static_cast<double>(config.n_layers), width = static_cast<double>(config.d_model);
  switch (config.init) {
    case Init::scaled_normal: return {is_output ? kStd / std::sqrt(2.0 * n_layers) : kStd};
    case Init::normal: return {kStd};
    case Init::truncated_normal: return {kStd, 3};
    case Init::small_wang: return {is_output ? 2.0 / (n_layers * std::sqrt(width)) : std::sqrt(2.0 / (5.0 * width))};
    case Init::t5: return t5_normal(spec);
  }
  throw std::logic_error("an initialisation without a formula");
}

at::Tensor normal_tensor(const ParamSpec& spec, const Normal& distribution, uint64_t seed) {
  auto out = at::empty(spec.shape, at::kFloat);
  float* values = out.mutable_data_ptr<float>();
  const int64_t n = out.numel();
  constexpr int64_t kBlock = 1 << 16;  // one random stream a block
  at::parallel_for(0, (n + kBlock - 1) / kBlock, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      RngStream rng(seed, "init/" + spec.name, static_cast<uint64_t>(block));
      for (int64_t i = block * kBlock; i < std::min(n, (block + 1) * kBlock); ++i) {
        double value = rng.normal();
        while (std::abs(value) > distribution.bound) value = rng.normal();
        values[i] = static_cast<float>(value * distribution.std);
      }
    }
  });
  return out;
}

// Queries whose scores nobody divides.
void divide_queries(const ParamSpec& spec, double divisor, const at::Tensor& values) {
  for (size_t part = 0; part < spec.packing.parts.size(); ++part)
    if (spec.packing.parts[part].name == "q") ops::part_of(values, spec.packing, part).div_(divisor);
}

// [rows, columns] whose rows, or where there are more rows than columns whose columns, are orthogonal and of length
// `gain`: Gram and Schmidt's method in fp64 on normal vectors, twice for each, so that rounding does not add up.
// Uniform over such matrices, like the QR factor of a normal matrix.
at::Tensor orthogonal_tensor(const ParamSpec& spec, double gain, uint64_t seed) {
  const int64_t n_vectors = std::min(spec.shape[0], spec.shape[1]), length = std::max(spec.shape[0], spec.shape[1]);
  std::vector<std::vector<double>> basis;
  const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  };
  for (int64_t i = 0; i < n_vectors; ++i) {
    RngStream rng(seed, "init/" + spec.name, static_cast<uint64_t>(i));
    std::vector<double> vector(static_cast<size_t>(length));
    for (double& value : vector) value = rng.normal();
    for (int pass = 0; pass < 2; ++pass)
      for (const auto& other : basis) {
        const double share = dot(vector, other);
        for (size_t j = 0; j < vector.size(); ++j) vector[j] -= share * other[j];
      }
    const double norm = std::sqrt(dot(vector, vector));
    for (double& value : vector) value /= norm;
    basis.push_back(std::move(vector));
  }
  auto out = at::empty({n_vectors, length}, at::kFloat);
  float* to = out.mutable_data_ptr<float>();
  for (const auto& vector : basis)
    for (const double value : vector) *to++ = static_cast<float>(gain * value);
  return spec.shape[0] <= spec.shape[1] ? out : out.t().contiguous();
}

bool has_orthogonal_router(const ModelConfig& config) {
  return config.is_moe() && moe::make_router(config.router_shape(), config.router)->traits().is_orthogonal_at_first;
}

at::Tensor initial_tensor(const ModelConfig& config, const ParamSpec& spec, bool is_orthogonal, uint64_t seed) {
  if (spec.role == Role::norm) return at::ones(spec.shape, at::kFloat);
  if (spec.role == Role::bias) return at::zeros(spec.shape, at::kFloat);
  constexpr double kGain = 0.1;  // BASE layers' centroids (arXiv 2103.16716; fairseq base_layer.py)
  if (spec.role == Role::router && is_orthogonal) return orthogonal_tensor(spec, kGain, seed);
  auto out = normal_tensor(spec, normal_of(config, spec), seed);
  if (config.init == Init::t5 && spec.role == Role::attention_in)
    divide_queries(spec, std::sqrt(static_cast<double>(config.head_dim)), out);
  return out;
}

}  // namespace

at::Tensor initial_parameter(const ModelConfig& config, const ParamSpec& spec, uint64_t seed) {
  return initial_tensor(config, spec, has_orthogonal_router(config), seed);
}

ops::Params init_params(const ModelConfig& config, uint64_t seed) {
  const bool is_orthogonal = has_orthogonal_router(config);
  ops::Params params;
  for (const auto& spec : parameter_table(config))
    params.add(spec.name, initial_tensor(config, spec, is_orthogonal, seed));
  return params;
}

}  // namespace evenkeel::model
