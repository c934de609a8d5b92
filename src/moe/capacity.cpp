#include "moe/capacity.h"

#include <limits>
#include <numeric>
#include <span>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros.h>

#include "core/rng.h"
#include "moe/token_groups.h"

namespace evenkeel::moe {
namespace {

RouterShape shape_of(const RoutingDecision& decision) { return {decision.n_experts, decision.top_k, 0}; }

// Tokens that compete with each other.
struct Group {
  std::vector<int64_t> tokens;  // ascending, without padding
  int64_t first_index = 0;      // of tokens[0] among the tokens of its scope
  int64_t n_tokens = 0;         // what C is computed from: tokens.size(), or that of flaxformer's padded group
};

// Tokens a group of flaxformer's `_num_groups`: n tokens, padded to a multiple of E, in the fewest groups that are
// at least n / group_size (rounded down) and E many, whose number is a multiple of E and divides n.
int64_t flaxformer_group_size(int64_t n_tokens, int64_t group_size, int64_t n_experts) {
  const int64_t padded = (n_tokens + n_experts - 1) / n_experts * n_experts;
  const int64_t least = std::max(padded / group_size, n_experts);
  int64_t n_groups = (least + n_experts - 1) / n_experts * n_experts;
  while (padded % n_groups != 0) n_groups += n_experts;  // ends at `padded` at the latest
  return padded / n_groups;
}

// Cuts the tokens of one scope, which has no other places.
void add_flaxformer_groups(const CapacityConfig& config, int64_t n_experts, std::span<const int64_t> tokens,
                           std::vector<Group>& groups) {
  const auto n = static_cast<int64_t>(tokens.size());
  if (n == 0) return;
  const int64_t size = flaxformer_group_size(n, config.group_size, n_experts);
  for (int64_t begin = 0; begin < n; begin += size) {
    const auto part = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(std::min(size, n - begin)));
    groups.push_back({{part.begin(), part.end()}, begin, size});
  }
}

// The same of `cut`: the borders lie on the places of the scope, whatever padding is among them.
void add_cut_groups(const TokenGroups& cut, int64_t first_place, std::span<const int64_t> tokens,
                    std::vector<Group>& groups) {
  auto at = tokens.begin();
  for (int64_t group = 0; group < cut.count(); ++group) {
    const auto end = std::lower_bound(at, tokens.end(), first_place + cut.end(group));
    if (at != end) groups.push_back({{at, end}, at - tokens.begin(), end - at});
    at = end;
  }
}

std::vector<Group> make_groups(const CapacityConfig& config, const RouterInput& input,
                               const RoutingDecision& decision) {
  const auto padding = input.is_padding.defined() ? input.is_padding.cpu().contiguous() : at::Tensor();
  const bool* is_padding = padding.defined() ? padding.const_data_ptr<bool>() : nullptr;
  const int64_t n_scopes = input.mode == Mode::eval ? std::max<int64_t>(input.n_sequences, 1) : 1;
  const int64_t length = decision.n_tokens / n_scopes;
  std::vector<Group> groups;
  std::vector<int64_t> tokens;
  for (int64_t scope = 0; scope < n_scopes; ++scope) {
    tokens.clear();
    for (int64_t t = scope * length; t < (scope + 1) * length; ++t)
      if (is_padding == nullptr || !is_padding[t]) tokens.push_back(t);
    if (config.grouping == Grouping::flaxformer) {
      add_flaxformer_groups(config, decision.n_experts, tokens, groups);
    } else {
      add_cut_groups(token_groups(length, config.group_size), scope * length, tokens, groups);
    }
  }
  return groups;
}

// [T] the largest score of each token over all experts (V-MoE's priority), or the weight of its first expert
// where there are no logits. Renormalising the k weights does not change it.
at::Tensor best_scores(const RoutingDecision& decision) {
  if (!decision.logits.defined()) return decision.weights.detach().view({-1, decision.top_k}).select(1, 0);
  const auto logits = decision.logits.detach();
  return decision.score == Score::softmax ? at::softmax(logits, 1).amax(1)
                                          : logits.amax(1);  // the other scores rise with the logit
}

// Puts assignments in the order in which experts take them. Assignment a is choice a % K of token a / K.
class PriorityOrder {
 public:
  PriorityOrder(Priority priority, const RouterInput& input, const RoutingDecision& decision)
      : priority_(priority), n_choices_(decision.top_k), seed_(combine_bits(input.seed, hash_text("capacity"))) {
    if (priority == Priority::best_first) values_ = best_scores(decision);
    if (priority == Priority::probs) values_ = decision.weights.detach();
    if (values_.defined()) values_ = values_.to(at::kDouble).cpu().contiguous();
    if (priority == Priority::random && input.mode == Mode::eval && input.token_ids.defined())
      token_ids_ = input.token_ids.cpu().contiguous();
  }

  std::vector<int64_t> operator()(const Group& group) const {
    const bool by_choice = priority_ == Priority::first_choices || priority_ == Priority::best_first;
    std::vector<int64_t> tokens = group.tokens, order;
    if (priority_ == Priority::best_first) sort_by_value(tokens);
    order.reserve(tokens.size() * static_cast<size_t>(n_choices_));
    if (by_choice) {
      for (int64_t choice = 0; choice < n_choices_; ++choice)
        for (const int64_t token : tokens) order.push_back(token * n_choices_ + choice);
    } else {
      for (const int64_t token : tokens)
        for (int64_t choice = 0; choice < n_choices_; ++choice) order.push_back(token * n_choices_ + choice);
    }
    if (priority_ == Priority::probs) sort_by_value(order);
    if (priority_ == Priority::random) shuffle(group, order);
    return order;
  }

 private:
  void sort_by_value(std::vector<int64_t>& ids) const {
    const double* value = values_.const_data_ptr<double>();
    std::stable_sort(ids.begin(), ids.end(), [&](int64_t left, int64_t right) { return value[left] > value[right]; });
  }

  // Ascending by a hash of (seed, place of the token in its scope, choice); at evaluation, where the seed is the same
  // for every sequence, of the token's id too: else the same places were served first in each.
  void shuffle(const Group& group, std::vector<int64_t>& order) const {
    std::vector<std::pair<uint64_t, int64_t>> keyed;
    keyed.reserve(order.size());
    const auto first = static_cast<uint64_t>(group.first_index * n_choices_);
    const int64_t* id = token_ids_.defined() ? token_ids_.const_data_ptr<int64_t>() : nullptr;
    for (size_t i = 0; i < order.size(); ++i) {
      const uint64_t place = combine_bits(seed_, first + i);
      keyed.emplace_back(id == nullptr ? place : combine_bits(place, static_cast<uint64_t>(id[order[i] / n_choices_])),
                         order[i]);
    }
    std::sort(keyed.begin(), keyed.end());
    for (size_t i = 0; i < order.size(); ++i) order[i] = keyed[i].second;
  }

  Priority priority_;
  int64_t n_choices_;
  uint64_t seed_;
  at::Tensor values_;     // f64 on the CPU: [T] for best_first, [N] for probs
  at::Tensor token_ids_;  // i64 on the CPU: [T] for random, at evaluation
};

// The experts of the assignments, readable by assignment and by token.
struct ExpertIds {
  explicit ExpertIds(const RoutingDecision& decision)
      : shape(shape_of(decision)),
        on_cpu(decision.expert_ids.cpu().contiguous()),
        expert(on_cpu.const_data_ptr<int64_t>()) {}
  RouterShape shape;
  at::Tensor on_cpu;
  const int64_t* expert;
  int64_t operator[](int64_t assignment) const { return expert[assignment]; }
  std::span<const int64_t> of(int64_t token) const {
    return {expert + token * shape.top_k, static_cast<size_t>(shape.top_k)};
  }
};

// The most that an expert was chosen in the group.
int64_t largest_load(const Group& group, const ExpertIds& expert_ids) {
  std::vector<int64_t> load(static_cast<size_t>(expert_ids.shape.n_experts), 0);
  int64_t most = 0;
  for (const int64_t token : group.tokens)
    for (const int64_t expert : expert_ids.of(token)) most = std::max(most, ++load[static_cast<size_t>(expert)]);
  return most;
}

int64_t capacity_of(const CapacityConfig& config, Mode mode, const Group& group, const ExpertIds& expert_ids) {
  const auto limit = expert_capacity(config, mode, group.n_tokens, expert_ids.shape);
  const bool as_needed = config.rounding == Rounding::floor_of_ceil &&
                         (mode == Mode::train ? config.factor_train : config.factor_eval) < 0;
  if (limit && !as_needed) return *limit;
  const int64_t most = largest_load(group, expert_ids);
  return limit ? std::min(*limit, most) : most;
}

// weights [N] divided by their sum over each token.
at::Tensor normalized(const at::Tensor& weights, int64_t top_k) {
  if (top_k == 1) return weights;
  const double epsilon = weights.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                              : std::numeric_limits<float>::epsilon();
  const auto by_token = weights.view({-1, top_k});
  return (by_token / by_token.sum(1, /*keepdim=*/true).clamp_min(epsilon)).view({-1});
}

}  // namespace

void apply_capacity(const CapacityConfig& config, const RouterInput& input, RoutingDecision& decision) {
  if (config.is_dropless()) return;
  if (decision.expert_ids.size(0) != decision.n_tokens * decision.top_k)
    throw std::logic_error("capacity without k experts a token");
  if (config.renormalize == Renormalize::before) decision.weights = normalized(decision.weights, decision.top_k);

  const ExpertIds expert_ids(decision);
  const PriorityOrder by_priority(config.priority, input, decision);
  const auto dropped = at::empty(decision.expert_ids.sizes(), at::kBool).fill_(true);
  bool* is_dropped = dropped.mutable_data_ptr<bool>();
  std::vector<int64_t> taken;
  for (const auto& group : make_groups(config, input, decision)) {
    const int64_t capacity = capacity_of(config, input.mode, group, expert_ids);
    decision.capacity = std::max(decision.capacity, capacity);
    taken.assign(static_cast<size_t>(decision.n_experts), 0);
    for (const int64_t a : by_priority(group)) is_dropped[a] = taken[static_cast<size_t>(expert_ids[a])]++ >= capacity;
  }

  decision.dropped = dropped.to(decision.expert_ids.device());
  decision.weights = decision.weights.masked_fill(decision.dropped, 0);
  if (config.renormalize == Renormalize::after) decision.weights = normalized(decision.weights, decision.top_k);
}

namespace {

// Token and expert of each row of weight 0.
struct PaddingRows {
  std::vector<int64_t> tokens, experts;
};

// Rows that an expert lacks; the first tokens that did not choose it give them.
struct Missing {
  int64_t expert = 0, rows = 0;
};
void add_padding_rows(const Group& group, const ExpertIds& expert_ids, Missing missing, PaddingRows& rows) {
  for (size_t i = 0; i < group.tokens.size() && missing.rows > 0; ++i) {
    const auto chosen = expert_ids.of(group.tokens[i]);
    if (std::find(chosen.begin(), chosen.end(), missing.expert) != chosen.end()) continue;
    rows.tokens.push_back(group.tokens[i]);
    rows.experts.push_back(missing.expert);
    --missing.rows;
  }
}

PaddingRows padding_rows(const CapacityConfig& config, const RouterInput& input, const RoutingDecision& decision) {
  const ExpertIds expert_ids(decision);
  const auto dropped = decision.dropped.cpu();
  const bool* is_dropped = dropped.const_data_ptr<bool>();
  PaddingRows rows;
  std::vector<int64_t> kept;
  for (const auto& group : make_groups(config, input, decision)) {
    kept.assign(static_cast<size_t>(decision.n_experts), 0);
    for (const int64_t token : group.tokens)
      for (int64_t a = token * decision.top_k; a < (token + 1) * decision.top_k; ++a)
        kept[static_cast<size_t>(expert_ids[a])] += is_dropped[a] ? 0 : 1;
    const int64_t wanted =
        std::min(capacity_of(config, input.mode, group, expert_ids), static_cast<int64_t>(group.tokens.size()));
    for (int64_t expert = 0; expert < decision.n_experts; ++expert)
      add_padding_rows(group, expert_ids, {expert, wanted - kept[static_cast<size_t>(expert)]}, rows);
  }
  return rows;
}

// [N] true for the assignments that experts run: those that are neither over capacity nor of padding. Undefined where
// these are all.
at::Tensor contributing(const RoutingDecision& decision) {
  at::Tensor out;
  if (decision.dropped.defined()) out = decision.dropped.logical_not();
  if (!decision.is_padding.defined()) return out;
  const auto is_token = decision.is_padding.logical_not().index_select(0, decision.token_ids);
  return out.defined() ? out.logical_and(is_token) : is_token;
}

at::Tensor ids_like(const at::Tensor& like, const std::vector<int64_t>& values) {
  auto out = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), out.mutable_data_ptr<int64_t>());
  return out.to(like.device());
}

}  // namespace

Assignments kept_assignments(const CapacityConfig& config, const RouterInput& input, const RoutingDecision& decision) {
  Assignments out{decision.token_ids, decision.expert_ids, decision.weights};
  const auto is_kept = contributing(decision);
  if (!is_kept.defined()) return out;
  const auto kept = is_kept.nonzero().squeeze(1);
  for (at::Tensor* tensor : {&out.token_ids, &out.expert_ids, &out.weights}) *tensor = tensor->index_select(0, kept);
  if (!decision.dropped.defined() || !config.pad) return out;
  const auto rows = padding_rows(config, input, decision);
  out.token_ids = at::cat({out.token_ids, ids_like(out.token_ids, rows.tokens)});
  out.expert_ids = at::cat({out.expert_ids, ids_like(out.expert_ids, rows.experts)});
  out.weights = at::cat({out.weights, at::zeros({static_cast<int64_t>(rows.tokens.size())}, out.weights.options())});
  const auto order = std::get<1>(at::sort(out.token_ids, /*stable=*/true, 0, /*descending=*/false));
  for (at::Tensor* tensor : {&out.token_ids, &out.expert_ids, &out.weights}) *tensor = tensor->index_select(0, order);
  return out;
}

}  // namespace evenkeel::moe
