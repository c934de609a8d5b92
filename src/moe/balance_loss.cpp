#include "moe/balance_loss.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "moe/token_groups.h"
#include "ops/top_k.h"

namespace evenkeel::moe {

const std::vector<BalanceLossKind>& balance_loss_kinds() {
  using C = Counts;
  using S = Scope;
  using L = LayerReduction;
  static const std::vector<BalanceLossKind> kinds = {
      // name, source, counts, ÷k, scope, groups, layers, floor
      {"switch", "Switch Transformer (2101.03961) eq. 4, ÷ k as Megatron does", C::plain, true, S::micro_batch, false,
       L::sum},
      {"gshard", "GShard (2006.16668) algorithm 1, times E^2 as Mesh TensorFlow and Lingvo do", C::first, false,
       S::micro_batch, true, L::sum},
      {"megatron", "Megatron-LM aux_loss", C::plain, true, S::micro_batch, false, L::sum},
      {"megatron_sequence", "Megatron-LM seq_aux_loss", C::plain, true, S::sequence, false, L::sum},
      {"megatron_global", "Megatron-LM global_aux_loss", C::plain, true, S::step, false, L::sum},
      {"megablocks", "MegaBlocks batched_load_balancing_loss", C::actual, true, S::micro_batch, false, L::mean},
      {"olmo", "OLMo-core, granularity local_batch", C::actual, true, S::micro_batch, false, L::sum, 1e-7},
      {"olmo_instance", "OLMo-core, granularity instance", C::actual, true, S::sequence, false, L::sum, 1e-7},
      {"hf", "transformers load_balancing_loss_func", C::plain, false, S::micro_batch, false, L::concatenated},
      {"flaxformer", "flaxformer _load_balancing_loss, averaged as T5X does", C::actual, false, S::micro_batch, true,
       L::mean},
      {"deepseek_sequence", "DeepSeek MoEGate, seq_aux = True", C::actual, true, S::sequence, false, L::sum},
      {"deepseek_batch", "DeepSeek MoEGate, seq_aux = False", C::actual, true, S::micro_batch, false, L::sum},
      {"tutel", "Tutel gshard_loss", C::first, false, S::micro_batch, false, L::sum},
      {"deepspeed", "DeepSpeed top1gating and top2gating", C::first, false, S::micro_batch, false, L::sum},
      {"deepspeed_topk", "DeepSpeed topkgating", C::plain, true, S::micro_batch, false, L::sum},
  };
  return kinds;
}

BalanceLossKind kind_of(const BalanceTerm& term) {
  BalanceLossKind kind = term.loss.kind();
  kind.layers = term.reduce.value_or(kind.layers);
  kind.counts = term.counts.value_or(kind.counts);
  return kind;
}

namespace {

// What the loss needs to know of one layer, or of all layers concatenated. G groups.
struct Observed {
  at::Tensor probs;       // [G, E] sums over the group's tokens, differentiable
  at::Tensor counts;      // [G, E]
  at::Tensor n_tokens;    // [G, 1]
  at::Tensor all_tokens;  // f64 scalar
  double divisor = 1;     // d
};

// [T] true for tokens that count; undefined when all do.
at::Tensor kept_tokens(const RoutingDecision& decision) {
  return decision.is_padding.defined() ? decision.is_padding.logical_not() : at::Tensor();
}

// Tokens that count, as an f64 scalar: padding is on the device, which nothing waits for here.
at::Tensor token_count(const RoutingDecision& decision) {
  const auto options = decision.expert_ids.options().dtype(at::kDouble);
  if (!decision.is_padding.defined()) return at::full({}, static_cast<double>(decision.n_tokens), options);
  return kept_tokens(decision).sum().to(at::kDouble);
}

// [T, E] scores that sum to 1, in the dtype of the logits.
at::Tensor probabilities(const RoutingDecision& decision, double score_floor) {
  const auto& logits = decision.logits;
  if (decision.score == Score::softmax) return at::softmax(logits, 1);
  auto scores = logits;
  if (decision.score == Score::sigmoid) {
    scores = at::sigmoid(logits);
  } else {  // the root of 0 has no derivative: where softplus underflows the score is the constant 0
    const auto softplus = at::softplus(logits);
    const auto is_positive = softplus.gt(0);
    scores = at::sqrt(at::where(is_positive, softplus, 1.0)) * is_positive;
  }
  if (score_floor > 0) scores = scores + score_floor;
  return scores / (scores.sum(1, /*keepdim=*/true) + kScoreGuard);
}

// [G, E] i64 assignments of the tokens that count.
at::Tensor count_assignments(const RoutingDecision& decision, Counts counts, const TokenGroups& groups) {
  const int64_t T = decision.n_tokens, E = decision.n_experts;
  auto token_ids = decision.token_ids, expert_ids = decision.expert_ids;  // [N]
  if (counts == Counts::plain || counts == Counts::first) {
    const int64_t k = counts == Counts::first ? 1 : decision.top_k;
    expert_ids = ops::top_k_ids(decision.logits.detach(), k).reshape({-1});
    token_ids = at::arange(T, expert_ids.options()).unsqueeze(1).expand({T, k}).reshape({-1});
  }
  at::Tensor counted;  // [N]
  if (decision.is_padding.defined()) counted = kept_tokens(decision).index_select(0, token_ids);
  if (counts == Counts::kept && decision.dropped.defined()) {
    const auto kept = decision.dropped.logical_not();
    counted = counted.defined() ? counted.logical_and(kept) : kept;
  }
  auto cells = expert_ids;  // group * E + expert
  if (groups.count() > 1) cells = token_ids.floor_divide(groups.size) * E + expert_ids;
  if (counted.defined()) cells = cells.masked_select(counted);
  return at::bincount(cells, {}, groups.count() * E).view({groups.count(), E});
}

TokenGroups groups_of(const BalanceLossKind& kind, int64_t group_size, const RoutingDecision& decision) {
  if (kind.scope == Scope::sequence) return token_groups(decision.n_tokens, decision.n_tokens / decision.n_sequences);
  return token_groups(decision.n_tokens, kind.has_groups ? group_size : 0);
}

// [G, .. ] sums over the places of each group of x [T, ..]; rows of 0 fill the last one.
at::Tensor sums_of_groups(const at::Tensor& x, const TokenGroups& groups) {
  const int64_t n_missing = groups.count() * groups.size - groups.n_places;
  const auto whole = n_missing == 0 ? x : at::constant_pad_nd(x, {0, 0, 0, n_missing});
  return whole.view({groups.count(), groups.size, x.size(1)}).sum(1);
}

Observed observe(const RoutingDecision& decision, const BalanceLossKind& kind, const TokenGroups& groups) {
  const auto options = decision.logits.options();
  Observed out;
  auto probs = probabilities(decision, kind.score_floor);
  out.n_tokens = at::full({groups.count(), 1}, static_cast<double>(groups.size), options);
  if (const int64_t last = groups.count() - 1; groups.end(last) - groups.begin(last) < groups.size)
    out.n_tokens[last].fill_(static_cast<double>(groups.end(last) - groups.begin(last)));
  if (const auto keep = kept_tokens(decision); keep.defined()) {
    probs = probs * keep.unsqueeze(1);
    out.n_tokens = sums_of_groups(keep.unsqueeze(1).to(at::kLong), groups).to(options.dtype());
  }
  out.probs = sums_of_groups(probs, groups);
  out.counts = count_assignments(decision, kind.counts, groups).to(options.dtype());
  out.all_tokens = token_count(decision);
  if (kind.divides_by_k) out.divisor = static_cast<double>(decision.top_k);
  return out;
}

// The counts of the step so far in place of the micro-batch's own: f = assignments / tokens of the step.
void take_load(Observed& observed, const LayerLoad& load) {
  const auto share = observed.all_tokens / load.n_tokens.clamp_min(1);
  observed.counts = load.assignments.to(observed.probs.options()) * share.to(observed.probs.scalar_type());
}

std::vector<Observed> concatenated(const std::vector<Observed>& layers) {
  if (layers.empty()) return {};
  Observed all = layers[0];
  for (size_t i = 1; i < layers.size(); ++i) {
    all.probs = all.probs + layers[i].probs;
    all.counts = all.counts + layers[i].counts;
    all.n_tokens = all.n_tokens + layers[i].n_tokens;
    all.all_tokens = all.all_tokens + layers[i].all_tokens;
  }
  return {all};
}

// E / (d T) * sum_ge n_ge (sum_t p_te) / T_g
at::Tensor product(const Observed& observed) {
  const auto n_experts = static_cast<double>(observed.probs.size(1));
  const auto share = observed.counts / observed.n_tokens.clamp_min(1);  // [G, E]
  const auto factor = n_experts / (observed.divisor * observed.all_tokens.clamp_min(1));
  return (observed.probs * share).sum() * factor.to(share.scalar_type());
}

at::Tensor zero_like(const std::vector<RoutingDecision>& decisions) {
  for (const auto& decision : decisions)
    if (decision.logits.defined()) return at::zeros({}, decision.logits.options());
  return at::zeros({}, at::kFloat);
}

}  // namespace

StepLoad count_load(const BalanceTerm& term, const std::vector<RoutingDecision>& decisions) {
  const auto counts = kind_of(term).counts;
  StepLoad out;
  for (const auto& decision : decisions) {
    const bool has_counts = decision.logits.defined() || counts == Counts::actual || counts == Counts::kept;
    out.push_back({has_counts ? count_assignments(decision, counts, token_groups(decision.n_tokens, 0)).view({-1})
                              : at::zeros({decision.n_experts}, at::kLong),
                   token_count(decision)});
  }
  return out;
}

void add_load(StepLoad& total, const StepLoad& more) {
  if (total.empty()) total.resize(more.size());
  if (total.size() != more.size()) throw std::logic_error("loads of different models added");
  for (size_t layer = 0; layer < more.size(); ++layer) {
    auto& sum = total[layer].assignments;
    sum = sum.defined() ? sum + more[layer].assignments : more[layer].assignments;
    auto& n_tokens = total[layer].n_tokens;
    n_tokens = n_tokens.defined() ? n_tokens + more[layer].n_tokens : more[layer].n_tokens;
  }
}

at::Tensor balance_loss(const BalanceTerm& term, const BalanceInput& input) {
  const auto kind = kind_of(term);
  std::vector<Observed> layers;
  for (size_t layer = 0; layer < input.decisions.size(); ++layer) {
    const auto& decision = input.decisions[layer];
    if (!decision.logits.defined() || decision.n_tokens == 0) continue;
    layers.push_back(observe(decision, kind, groups_of(kind, term.group_size, decision)));
    if (kind.scope == Scope::step && input.step_load != nullptr) take_load(layers.back(), input.step_load->at(layer));
  }
  if (kind.layers == LayerReduction::concatenated) layers = concatenated(layers);
  auto total = zero_like(input.decisions);
  for (const auto& observed : layers) total = total + product(observed);
  return kind.layers == LayerReduction::mean && !layers.empty() ? total / static_cast<double>(input.decisions.size())
                                                                : total;
}

at::Tensor BalanceLossKind::compute(const std::vector<RoutingDecision>& decisions) const {
  return balance_loss({.loss = name}, {decisions});
}

at::Tensor z_loss(const std::vector<RoutingDecision>& decisions, bool mean_over_layers) {
  auto total = zero_like(decisions);
  for (const auto& decision : decisions) {
    if (!decision.logits.defined() || decision.n_tokens == 0) continue;
    auto squares = at::logsumexp(decision.logits, {1}).square();  // [T]
    if (const auto keep = kept_tokens(decision); keep.defined()) squares = squares * keep;
    total = total + squares.sum() / token_count(decision).clamp_min(1).to(squares.scalar_type());
  }
  return mean_over_layers && !decisions.empty() ? total / static_cast<double>(decisions.size()) : total;
}

}  // namespace evenkeel::moe
