// Hash layers (arXiv 2106.04426 §3): a fixed table says which expert takes a token, from its id alone; weight 1,
// no matrix, nothing to learn. One expert a token. The table of a layer is made once from (seed, layer):
//   ids        a random balanced table: no two experts' numbers of ids differ by more than 1
//   frequency  balanced over the training data ("balanced hash"): ids by falling count, each to the expert
//              with the least so far. An id counts as its occurrences + 1, so that ids that do not occur are
//              spread too; where the counts are not known (StateInput::token_counts undefined) all ids
//              weigh alike.
// Its state is the table, [V] i64.
#include "moe/router.h"

#include <numeric>
#include <queue>

#include <ATen/ops/empty.h>

#include "core/rng.h"

namespace evenkeel::moe {
namespace {

// What the table balances.
enum class HashBy { ids, frequency };
constexpr Named<HashBy> kHashBy[] = {{"ids", HashBy::ids}, {"frequency", HashBy::frequency}};
std::span<const Named<HashBy>> names_of(HashBy) { return kHashBy; }

struct HashOptions {
  HashBy by = HashBy::ids;
  static void visit_fields(auto& options, auto&& field) {
    field("by", options.by, "what the table balances: ids, or frequency in the data of the first phase");
  }
};

class HashRouter : public Router {
 public:
  HashRouter(const RouterShape& shape, HashOptions options) : shape_(shape), options_(std::move(options)) {}

  RoutingDecision route(const RouterInput& input) const override {
    return fixed_choice(input, shape_.n_experts,
                        input.state->at("table").index_select(0, input.token_ids).unsqueeze(1));
  }

  RouterTraits traits() const override {
    RouterTraits out;
    out.has_matrix = out.has_weight_gradient = out.needs_balance = false;
    out.needs_token_counts = options_.by == HashBy::frequency;
    out.max_top_k = 1;
    out.state_option = "by";
    return out;
  }

  Json options() const override {
    Json out = to_json(options_);
    out["kind"] = "hash";
    return out;
  }

  ops::Params initial_state(const StateInput& input) const override {
    const uint64_t key =
        combine_bits(combine_bits(input.seed, hash_text("hash router")), static_cast<uint64_t>(input.layer));
    ops::Params state;
    state.add("table", options_.by == HashBy::ids ? table_by_ids(key) : table_by_frequency(key, input.token_counts));
    return state;
  }

 private:
  at::Tensor table_by_ids(uint64_t key) const {
    auto table = at::empty({shape_.vocab_size}, at::kLong);
    int64_t* expert = table.mutable_data_ptr<int64_t>();
    for (int64_t id = 0; id < shape_.vocab_size; ++id) expert[id] = rank_of(id, key) % shape_.n_experts;
    return table;
  }

  // Equal counts in the order of a random permutation; equal loads to the lower expert.
  at::Tensor table_by_frequency(uint64_t key, const at::Tensor& token_counts) const {
    const auto n_ids = static_cast<size_t>(shape_.vocab_size);
    std::vector<int64_t> weight(n_ids, 1), rank(n_ids), ids(n_ids);
    if (token_counts.defined()) {
      const auto counts = token_counts.cpu().to(at::kLong).contiguous();
      if (counts.dim() != 1 || counts.size(0) != shape_.vocab_size)
        throw std::logic_error("hash router: token counts of another vocabulary");
      for (size_t id = 0; id < n_ids; ++id) weight[id] += counts.const_data_ptr<int64_t>()[id];
    }
    for (size_t id = 0; id < n_ids; ++id) rank[id] = rank_of(static_cast<int64_t>(id), key);
    std::iota(ids.begin(), ids.end(), 0);
    std::sort(ids.begin(), ids.end(), [&](int64_t left, int64_t right) {
      const auto a = static_cast<size_t>(left), b = static_cast<size_t>(right);
      return weight[a] != weight[b] ? weight[a] > weight[b] : rank[a] < rank[b];
    });
    using Load = std::pair<int64_t, int64_t>;  // of an expert, and the expert
    std::priority_queue<Load, std::vector<Load>, std::greater<>> loads;
    for (int64_t expert = 0; expert < shape_.n_experts; ++expert) loads.emplace(0, expert);
    auto table = at::empty({shape_.vocab_size}, at::kLong);
    for (const int64_t id : ids) {
      const auto [load, expert] = loads.top();
      loads.pop();
      loads.emplace(load + weight[static_cast<size_t>(id)], expert);
      table.mutable_data_ptr<int64_t>()[id] = expert;
    }
    return table;
  }

  int64_t rank_of(int64_t id, uint64_t key) const {
    return static_cast<int64_t>(
        permuted_index(static_cast<uint64_t>(id), static_cast<uint64_t>(shape_.vocab_size), key));
  }

  RouterShape shape_;
  HashOptions options_;
};

std::unique_ptr<Router> make(const RouterShape& shape, HashOptions options, const ConfigNode&) {
  return std::make_unique<HashRouter>(shape, options);
}

}  // namespace

RouterFactory hash_router() { return factory_of(make); }

}  // namespace evenkeel::moe
