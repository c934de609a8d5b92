#include "analysis/routing_stats.h"

#include <cmath>
#include <span>

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>

#include "core/errors.h"

namespace evenkeel::analysis {

namespace {
at::Tensor tally_by_loop(const moe::RoutingDecision& decision) {
  const auto contiguous = [](const at::Tensor& tensor) { return tensor.defined() ? tensor.contiguous() : tensor; };
  const auto token_ids = contiguous(decision.token_ids), expert_ids = contiguous(decision.expert_ids);
  const auto is_padding = contiguous(decision.is_padding), dropped = contiguous(decision.dropped);
  const bool* padding = is_padding.defined() ? is_padding.const_data_ptr<bool>() : nullptr;
  const bool* drop = dropped.defined() ? dropped.const_data_ptr<bool>() : nullptr;
  const int64_t* tokens = token_ids.const_data_ptr<int64_t>();
  const int64_t* experts = expert_ids.const_data_ptr<int64_t>();
  auto out = at::zeros({decision.n_experts + 2}, at::kLong);
  int64_t* tally = out.mutable_data_ptr<int64_t>();
  int64_t &n_tokens = tally[decision.n_experts], &n_dropped = tally[decision.n_experts + 1];
  for (int64_t n = 0; n < expert_ids.size(0); ++n) {
    if (padding != nullptr && padding[tokens[n]]) continue;
    ++tally[experts[n]];
    if (drop != nullptr && drop[n]) ++n_dropped;
  }
  n_tokens = decision.n_tokens;
  for (int64_t t = 0; padding != nullptr && t < decision.n_tokens; ++t) n_tokens -= padding[t] ? 1 : 0;
  return out;
}
}  // namespace

RoutingCounts count_routing(const moe::RoutingDecision& decision) {
  const auto tally = tally_routing(decision);
  const auto counts = tally.counts.cpu();
  const int64_t* values = counts.const_data_ptr<int64_t>();
  return counts_of(tally, {values, values + counts.numel()});
}

RoutingTally tally_routing(const moe::RoutingDecision& decision) {
  const auto counts = decision.expert_ids.is_cpu() ? tally_by_loop(decision) : tally_by_tensors(decision);
  return {decision.layer, decision.n_experts, decision.top_k, counts};
}

RoutingCounts counts_of(const RoutingTally& tally, const std::vector<int64_t>& counts) {
  RoutingCounts out;
  out.layer = tally.layer;
  out.n_experts = tally.n_experts;
  out.top_k = tally.top_k;
  out.tokens_per_expert.assign(counts.begin(), counts.end() - 2);
  out.n_tokens = counts[counts.size() - 2];
  out.n_dropped = counts[counts.size() - 1];
  return out;
}

at::Tensor tally_by_tensors(const moe::RoutingDecision& decision) {
  const auto& is_padding = decision.is_padding;
  auto counted = at::ones_like(decision.expert_ids);  // [N] 0 for assignments of padding
  if (is_padding.defined()) counted = is_padding.index_select(0, decision.token_ids).logical_not().to(at::kLong);
  const auto experts =
      at::zeros({decision.n_experts}, decision.expert_ids.options()).index_add_(0, decision.expert_ids, counted);
  const auto one = [&](int64_t value) { return at::full({1}, value, counted.options()); };
  const auto n_tokens = is_padding.defined() ? one(decision.n_tokens) - is_padding.sum() : one(decision.n_tokens);
  const auto n_dropped = decision.dropped.defined() ? (counted * decision.dropped).sum().view({1}) : one(0);
  return at::cat({experts, n_tokens, n_dropped});
}

void add_counts(RoutingCounts& total, const RoutingCounts& more) {
  if (total.layer != more.layer || total.n_experts != more.n_experts)
    throw std::logic_error("counts of different layers added");
  total.n_tokens += more.n_tokens;
  total.n_dropped += more.n_dropped;
  for (size_t e = 0; e < total.tokens_per_expert.size(); ++e) total.tokens_per_expert[e] += more.tokens_per_expert[e];
}

void add_counts(std::vector<RoutingCounts>& total, const std::vector<moe::RoutingDecision>& decisions) {
  for (size_t i = 0; i < decisions.size(); ++i) {
    if (i == total.size()) {
      total.push_back(count_routing(decisions[i]));
    } else {
      add_counts(total[i], count_routing(decisions[i]));
    }
  }
}

RoutingStats routing_stats(const RoutingCounts& counts) {
  RoutingStats stats;
  stats.layer = counts.layer;
  const auto n_experts = static_cast<double>(counts.n_experts);
  int64_t n_assignments = 0, most = 0;
  for (const int64_t n : counts.tokens_per_expert) {
    n_assignments += n;
    most = std::max(most, n);
    if (n == 0) ++stats.dead;
  }
  stats.n_assignments = n_assignments;
  if (counts.n_tokens > 0) stats.mri = static_cast<double>(most) / static_cast<double>(counts.n_tokens);
  if (n_assignments > 0) stats.dropped = static_cast<double>(counts.n_dropped) / static_cast<double>(n_assignments);
  double entropy = 0, square = 0;
  for (const int64_t n : counts.tokens_per_expert) {
    const double share = n_assignments > 0 ? static_cast<double>(n) / static_cast<double>(n_assignments) : 0.0;
    stats.load.push_back(share);
    if (share > 0) entropy -= share * std::log(share);
    square += (share - 1 / n_experts) * (share - 1 / n_experts);
  }
  stats.entropy = counts.n_experts > 1 ? entropy / std::log(n_experts) : 1.0;
  stats.cv = n_assignments > 0 ? std::sqrt(square / n_experts) * n_experts : 0.0;
  return stats;
}

namespace {

double ratio(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

// The experts of a decision token by token; they are ordered by token.
struct Choices {
  explicit Choices(const moe::RoutingDecision& decision)
      : tokens(decision.token_ids.cpu().contiguous()), experts(decision.expert_ids.cpu().contiguous()) {}
  // Those of `token`, which is asked for in ascending order.
  std::span<const int64_t> next(int64_t token) {
    const int64_t* of = tokens.const_data_ptr<int64_t>();
    const int64_t first = position;
    while (position < tokens.size(0) && of[position] == token) ++position;
    return {experts.const_data_ptr<int64_t>() + first, static_cast<size_t>(position - first)};
  }
  at::Tensor tokens, experts;  // [N]
  int64_t position = 0;
};

}  // namespace

SaturationCounts count_saturation(const moe::RoutingDecision& before, const moe::RoutingDecision& after) {
  const auto whole = count_saturation(before, after, after.n_tokens);
  return whole.empty() ? SaturationCounts{.n_experts = after.n_experts} : whole[0];
}

std::vector<SaturationCounts> count_saturation(const moe::RoutingDecision& before, const moe::RoutingDecision& after,
                                               int64_t window_tokens) {
  if (before.n_tokens != after.n_tokens || before.n_experts != after.n_experts)
    throw std::logic_error("saturation of decisions that do not match");
  std::vector<SaturationCounts> windows;
  Choices choices_before(before), choices_after(after);
  const auto is_padding = after.is_padding.defined() ? after.is_padding.cpu().contiguous() : at::Tensor();
  std::vector<int64_t> chosen_by(static_cast<size_t>(after.n_experts),
                                 -1);  // [E] the last token that `before` sent there
  for (int64_t t = 0; t < after.n_tokens; ++t) {
    const auto a = choices_before.next(t), b = choices_after.next(t);
    if (t % window_tokens == 0) windows.push_back({.n_experts = after.n_experts});
    auto& counts = windows.back();
    if (is_padding.defined() && is_padding.const_data_ptr<bool>()[t]) continue;
    for (const int64_t expert : a) chosen_by[static_cast<size_t>(expert)] = t;
    for (const int64_t expert : b) counts.common += chosen_by[static_cast<size_t>(expert)] == t ? 1 : 0;
    counts.chosen += static_cast<int64_t>(b.size());
    counts.products += static_cast<int64_t>(a.size() * b.size());
    if (a.empty() || b.empty()) continue;
    ++counts.firsts;
    counts.same_firsts += a[0] == b[0] ? 1 : 0;
  }
  return windows;
}

void add_counts(SaturationCounts& total, const SaturationCounts& more) {
  if (total.n_experts != more.n_experts) throw std::logic_error("saturation of different layers added");
  total.common += more.common;
  total.chosen += more.chosen;
  total.products += more.products;
  total.firsts += more.firsts;
  total.same_firsts += more.same_firsts;
}

double SaturationCounts::of_all() const { return ratio(common, chosen); }
double SaturationCounts::of_first() const { return ratio(same_firsts, firsts); }
double SaturationCounts::chance_of_all() const { return ratio(products, n_experts * chosen); }

}  // namespace evenkeel::analysis
