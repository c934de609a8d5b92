// Sinkhorn-balanced top-k (docs/routers.md; S-BASE, arXiv 2202.01169 §2.2; MoE-CPT, arXiv 2503.05029).
// In training the experts of a token are the k largest of its row of a balanced plan of the whole
// micro-batch, or step; nothing flows back through that. The weights come from the unbalanced logits: sigmoid of the
// selected logit for k = 1, softmax over all E for k > 1 (renormalised only when asked). At evaluation:
// plain top-k of the logits, or with at_eval a plan of each sequence. Jitter comes before all of that, as in Megatron.
//
// A row scaling does not change a row's order, so a plan matters only through one bias b_e per expert:
//   log       a_t = -log T - logsumexp_e(l_te + b_e);  b_e = -log E - logsumexp_t(l_te + a_t), from b = 0,
//             until max_e |E * column sum - 1| < tolerance. Cannot overflow.
//   megatron  Megatron-LM moe_utils.py `sinkhorn`: K = exp(l) without shift, d1 from ones, until
//             mean_e |change of d1| <= tolerance, at most max_iterations sweeps.
//   neox      GPT-NeoX router.py: d1 from 1 / (E * column sums of K), at most 3 sweeps, stop after the
//             sweep whose change is < tolerance (one sweep from 2,048 tokens on: scripts/golden/sinkhorn_sizes.py).
// The published forms are stated for |logits| <= 80: exp overflows fp32 beyond 88.7.
#include "moe/routers/sinkhorn.h"

#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/index.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include "moe/routers/token_choice.h"
#include "ops/top_k.h"

namespace evenkeel::moe {
namespace {

constexpr double kPublishedRange = 80.0;
constexpr int64_t kNeoxSweeps = 3;

double max_abs(const at::Tensor& values) { return values.abs().max().item<double>(); }

// The log form where logits lie further apart than doubles can scale: one logsumexp a side and sweep, in fp64.
SinkhornPlan sinkhorn_log_wide(const at::Tensor& logits, double tolerance, int64_t max_iterations) {
  const auto n_tokens = static_cast<double>(logits.size(0)), n_experts = static_cast<double>(logits.size(1));
  const auto wide = logits.to(at::kDouble);
  SinkhornPlan out;
  out.expert_bias = at::zeros({wide.size(1)}, wide.options());
  while (out.iterations < max_iterations) {
    ++out.iterations;
    const auto a = -at::logsumexp(wide + out.expert_bias, {1}, /*keepdim=*/true) - std::log(n_tokens);  // [T, 1]
    const auto columns = at::logsumexp(wide + a, {0});                                                  // [E]
    const auto column_sums = (columns + out.expert_bias).exp();
    out.expert_bias = -columns - std::log(n_experts);
    if (max_abs(column_sums * n_experts - 1) < tolerance) break;
  }
  return out;
}

}  // namespace

// One exponential, then scaling by matrix-vector products: with K_te = exp(l_te - max_e l_te), u = exp(a + max)
// and v = exp(b) the sweep is u = 1 / (T K v), v = 1 / (E K' u). Exact while no entry of K underflows: v spreads no
// further than K does.
SinkhornPlan sinkhorn_log(const at::Tensor& logits, double tolerance, int64_t max_iterations) {
  constexpr double kWidestOfFloats = 60.0, kWidestOfDoubles = 300.0;  // e^-60 / 1e9 tokens is normal in fp32
  const auto n_tokens = static_cast<double>(logits.size(0)), n_experts = static_cast<double>(logits.size(1));
  auto shifted = logits - at::amax(logits, {1}, /*keepdim=*/true);
  const double spread = -shifted.min().item<double>();
  if (!(spread <= kWidestOfDoubles)) return sinkhorn_log_wide(logits, tolerance, max_iterations);
  if (spread > kWidestOfFloats) shifted = shifted.to(at::kDouble);
  const auto kernel = at::exp(shifted);
  auto v = at::ones({kernel.size(1)}, kernel.options());
  SinkhornPlan out;
  while (out.iterations < max_iterations) {
    ++out.iterations;
    const auto u = 1 / (n_tokens * at::mv(kernel, v));
    const auto columns = at::mv(kernel.t(), u);
    const auto column_sums = columns * v;
    v = 1 / (n_experts * columns);
    if (max_abs(column_sums * n_experts - 1) < tolerance) break;
  }
  out.expert_bias = v.log();
  return out;
}

SinkhornPlan sinkhorn_published(const at::Tensor& logits, SinkhornLoop loop, double tolerance, int64_t max_iterations) {
  constexpr double kEpsilon = 1e-8, kWidestOfFloats = 40.0;  // beyond, the sums over a batch could leave fp32: fp64
  const auto n_tokens = static_cast<double>(logits.size(0)), n_experts = static_cast<double>(logits.size(1));
  const auto kernel = at::exp(max_abs(logits) > kWidestOfFloats ? logits.to(at::kDouble) : logits);
  auto d1 = loop.starts_at_ones ? at::ones({kernel.size(1)}, kernel.options()) : 1 / (n_experts * kernel.sum(0));
  SinkhornPlan out;
  while (out.iterations < max_iterations) {
    ++out.iterations;
    const auto d0 = 1 / n_tokens / (at::mv(kernel, d1) + kEpsilon);
    const auto next = 1 / n_experts / (at::mv(kernel.t(), d0) + kEpsilon);
    const double change = (d1 - next).abs().mean().item<double>();
    d1 = next;
    if (loop.stops_at_tolerance ? change <= tolerance : change < tolerance) break;
  }
  out.expert_bias = d1.log();
  return out;
}

namespace {

// Which loop makes the plan.
enum class Variant { log, megatron, neox };
constexpr Named<Variant> kVariants[] = {
    {"log", Variant::log}, {"megatron", Variant::megatron}, {"neox", Variant::neox}};
std::span<const Named<Variant>> names_of(Variant) { return kVariants; }

// The tokens of one plan in training.
enum class PlanScope { micro_batch, step };
constexpr Named<PlanScope> kPlanScopes[] = {{"micro_batch", PlanScope::micro_batch}, {"step", PlanScope::step}};
std::span<const Named<PlanScope>> names_of(PlanScope) { return kPlanScopes; }

struct SinkhornOptions {
  Variant variant = Variant::log;
  double tolerance = 1e-4;
  int64_t max_iterations = 200;
  bool renormalize = false;
  bool at_eval = false;
  PlanScope scope = PlanScope::micro_batch;
  JitterOptions jitter;
  static void visit_fields(auto& options, auto&& field) {
    field("variant", options.variant, "log, megatron or neox");
    field("tolerance", options.tolerance, "the sweeps stop where the plan changes, or its columns are off, by less");
    field("max_iterations", options.max_iterations, {"bound on the sweeps (neox: at most 3)", "sweeps"});
    field("renormalize", options.renormalize, "divide by the sum of the selected; no effect at k = 1");
    field("at_eval", options.at_eval, "balance at evaluation too, each sequence by itself");
    field("scope", options.scope, "tokens of one plan in training: micro_batch or step");
    JitterOptions::visit_fields(options.jitter, field);
  }
};

class SinkhornRouter : public Router {
 public:
  SinkhornRouter(const RouterShape& shape, SinkhornOptions options) : shape_(shape), options_(std::move(options)) {
    weights_.score = shape.top_k == 1 ? ScoreFunction::sigmoid : ScoreFunction::softmax_pre;
    weights_.renormalize = options_.renormalize;
  }

  RoutingDecision route(const RouterInput& input) const override {
    const auto noisy = noisy_logits(options_.jitter, input,
                                    input.mode == Mode::train ? traits().max_abs_logit : traits().max_abs_logit_eval);
    const auto& logits = noisy.logits;  // [T, E]
    const auto values = logits.detach();
    at::Tensor plan, expert_ids;  // [E], [T, K]
    if (input.mode == Mode::eval && options_.at_eval) {
      expert_ids = balanced_by_sequence(values, input);
    } else {
      if (input.mode == Mode::train)
        plan = input.step_plan.defined() ? input.step_plan : plan_of(values, input.is_padding);
      expert_ids = ops::top_k_ids(values, shape_.top_k, plan);
    }
    auto decision = token_choice(input, logits, expert_ids,
                                 selected_weights(weights_, gathered_from(weights_, logits), expert_ids));
    decision.score = score_of(weights_);
    decision.plan = plan;
    decision.expert_input = noisy.expert_input;
    return decision;
  }

  RouterTraits traits() const override {
    RouterTraits out;
    out.train_scope = options_.scope == PlanScope::step ? Scope::step : Scope::micro_batch;
    out.causal_train = false;
    if (options_.at_eval) {
      out.eval_scope = Scope::sequence;
      out.causal_eval = false;
    }
    out.needs_balance = false;
    widen_scopes(options_.jitter, out);
    if (options_.variant != Variant::log) {
      out.max_abs_logit = kPublishedRange;
      if (options_.at_eval) out.max_abs_logit_eval = kPublishedRange;  // else no exponential is taken there
    }
    return out;
  }

  Json options() const override {
    Json out = to_json(options_);
    out["kind"] = "sinkhorn";
    return out;
  }

 private:
  // [E] of the tokens that are no padding; undefined when there are none: nothing to balance.
  at::Tensor plan_of(const at::Tensor& logits, const at::Tensor& is_padding) const {
    const auto balanced = is_padding.defined() ? logits.index({is_padding.logical_not()}) : logits;
    if (balanced.size(0) == 0) return {};
    if (balanced.size(0) == 1)
      return -balanced.squeeze(0);  // its plan is even; exactly so, that the tie goes to the lower experts
    if (options_.variant == Variant::log)
      return sinkhorn_log(balanced, options_.tolerance, options_.max_iterations).expert_bias;
    if (options_.variant == Variant::megatron)
      return sinkhorn_published(balanced, kMegatronLoop, options_.tolerance, options_.max_iterations).expert_bias;
    return sinkhorn_published(balanced, kNeoxLoop, options_.tolerance, std::min(kNeoxSweeps, options_.max_iterations))
        .expert_bias;
  }

  at::Tensor balanced_by_sequence(const at::Tensor& logits, const RouterInput& input) const {
    const int64_t n_tokens = logits.size(0), length = n_tokens / std::max<int64_t>(1, input.n_sequences);
    if (n_tokens == 0) return ops::top_k_ids(logits, shape_.top_k);
    std::vector<at::Tensor> expert_ids;
    for (int64_t first = 0; first < n_tokens; first += length) {
      const auto sequence = logits.narrow(0, first, length);
      const auto is_padding = input.is_padding.defined() ? input.is_padding.narrow(0, first, length) : at::Tensor();
      expert_ids.push_back(ops::top_k_ids(sequence, shape_.top_k, plan_of(sequence, is_padding)));
    }
    return at::cat(expert_ids);
  }

  RouterShape shape_;
  SinkhornOptions options_;
  ScoreOptions weights_;
};

std::unique_ptr<Router> make(const RouterShape& shape, SinkhornOptions options, const ConfigNode& config) {
  require<ConfigError>(options.tolerance > 0, got_at(place_of_option(config, "tolerance"), "model.router.tolerance"),
                       options.tolerance, "; need more than 0");
  require<ConfigError>(options.max_iterations >= 1 && options.max_iterations <= 100000,
                       got_at(place_of_option(config, "max_iterations"), "model.router.max_iterations"),
                       options.max_iterations, "; need 1..100000");
  check_options(config, shape, options.jitter);
  const bool is_plain = options.jitter.jitter == 0;
  require<ConfigError>(is_plain || options.scope == PlanScope::micro_batch,
                       got_at(place_of_option(config, "scope"), "model.router.scope"),
                       "'step' with a jitter; need micro_batch, since the plan of a step "
                       "would be made from other draws");
  const JitterTarget target = options.jitter.jitter_target;
  const bool is_in_range = options.variant == Variant::log || target == JitterTarget::router_input ||
                           target == JitterTarget::hidden;  // the published one
  require<ConfigError>(is_plain || is_in_range,
                       got_at(place_of_option(config, "jitter_target"), "model.router.jitter_target"), "'",
                       name_of(target), "'; need router_input or hidden");
  return std::make_unique<SinkhornRouter>(shape, options);
}

}  // namespace

RouterFactory sinkhorn_router() { return factory_of(make); }

}  // namespace evenkeel::moe
