// Quantile balancing (docs/routers.md; Megatron-LM moe_utils.py `qb_dual_update`). The experts of a token are the k
// largest of l - beta_e; its weights come from the scores of the logits alone. Of each micro-batch of T tokens, padding
// left out, one step of coordinate descent on the dual of the balanced assignment:
//   alpha_t     = (k + 1)-th largest of l_t - beta
//   candidate_e = (m + 1)-th largest over t of l_te - alpha_t, m = floor(T k / E): with beta_e there, m tokens choose e
// After the step beta = ema * beta + (1 - ema) * mean of the candidates, its mean subtracted. With k = E there is
// nothing to balance and beta stays. The tokens of a step decide on later steps only.
#include <limits>

#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/index.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include "moe/routers/token_choice.h"
#include "ops/top_k.h"

namespace evenkeel::moe {
namespace {

struct QuantileOptions {
  ScoreOptions score;
  JitterOptions jitter;
  double ema = 0.0;
  static void visit_fields(auto& options, auto&& field) {
    ScoreOptions::visit_fields(options.score, field);
    JitterOptions::visit_fields(options.jitter, field);
    field("ema", options.ema, {"share of the old beta in the new; 0 = replace", "fraction 0..1"});
  }
};

class QuantileRouter : public Router {
 public:
  QuantileRouter(const RouterShape& shape, QuantileOptions options) : shape_(shape), options_(std::move(options)) {}

  RoutingDecision route(const RouterInput& input) const override {
    const auto noisy = noisy_logits(options_.jitter, input, traits().max_abs_logit);               // [T, E]
    const auto expert_ids = ops::top_k_ids(noisy.logits, shape_.top_k, -input.state->at("beta"));  // [T, K]
    const auto weights = selected_weights(options_.score, gathered_from(options_.score, noisy.logits), expert_ids);
    auto decision = token_choice(input, noisy.logits, expert_ids, weights);
    decision.score = score_of(options_.score);
    decision.expert_input = noisy.expert_input;
    return decision;
  }

  RouterTraits traits() const override {
    RouterTraits out;
    out.needs_balance = false;
    widen_scopes(options_.jitter, out);
    return out;
  }

  Json options() const override {
    Json out = to_json(options_);
    out["kind"] = "quantile";
    return out;
  }

  // beta [E] fp32
  ops::Params initial_state(const StateInput&) const override {
    ops::Params state;
    state.add("beta", at::zeros({shape_.n_experts}, at::kFloat));
    return state;
  }

  // [E + 1] fp64: candidates, and 1 for their number; zeros without tokens or choice.
  at::Tensor balance_statistics(const RouterInput& input, const RoutingDecision& decision) const override {
    if (input.mode == Mode::eval) return {};
    const auto minus_beta = -input.state->at("beta");
    const double never = -std::numeric_limits<double>::infinity();
    auto logits = decision.logits.detach();
    auto alpha = (logits + minus_beta)
                     .scatter_(1, decision.expert_ids.view({-1, shape_.top_k}), never)
                     .amax(1, /*keepdim=*/true);  // [T, 1]: the best one left out
    if (input.is_padding.defined()) {
      const auto is_token = input.is_padding.logical_not();
      logits = logits.index({is_token});
      alpha = alpha.index({is_token});
    }
    const int64_t n_tokens = logits.size(0), n_experts = shape_.n_experts, k = shape_.top_k;
    if (n_tokens == 0 || k == n_experts) return at::zeros({n_experts + 1}, logits.options().dtype(at::kDouble));
    const auto candidates = ops::kth_largest_of_columns(logits - alpha, n_tokens * k / n_experts + 1);
    return at::cat({candidates.to(at::kDouble), at::ones({1}, logits.options().dtype(at::kDouble))});
  }

  void after_step(ops::Params& state, const at::Tensor& statistics) const override {
    if (!statistics.defined()) return;
    const auto count = statistics.narrow(0, shape_.n_experts, 1);
    const auto mean = statistics.narrow(0, 0, shape_.n_experts) / count.clamp_min(1);
    auto blended = options_.ema * state.at("beta") + (1 - options_.ema) * mean;  // fp64
    blended = blended - blended.mean();
    ops::Params next;
    next.add("beta", at::where(count > 0, blended.to(at::kFloat), state.at("beta")));
    state = std::move(next);
  }

 private:
  RouterShape shape_;
  QuantileOptions options_;
};

std::unique_ptr<Router> make(const RouterShape& shape, QuantileOptions options, const ConfigNode& config) {
  check_options(config, shape, options.score);
  check_options(config, shape, options.jitter);
  require<ConfigError>(options.ema >= 0 && options.ema < 1, got_at(place_of_option(config, "ema"), "model.router.ema"),
                       options.ema, "; need 0 or more, below 1");
  return std::make_unique<QuantileRouter>(shape, options);
}

}  // namespace

RouterFactory quantile_router() { return factory_of(make); }

}  // namespace evenkeel::moe
