// Sinkhorn-balanced top-k (docs/routers.md; S-BASE, arXiv 2202.01169 §2.2; MoE-CPT, arXiv 2503.05029).
// In training the experts of a token are the k largest of its row of a balanced plan of the whole
// micro-batch; nothing flows back through that. The weights come from the unbalanced logits: sigmoid of the
// selected logit for k = 1, softmax over all E for k > 1 (renormalised only when asked). At evaluation:
// plain top-k of the logits.
//
// A row scaling does not change a row's order, so a plan matters only through one bias b_e per expert:
//   log       a_t = -log T - logsumexp_e(l_te + b_e);  b_e = -log E - logsumexp_t(l_te + a_t), from b = 0,
//             until max_e |E * column sum - 1| < tolerance. Cannot overflow.
//   megatron  Megatron-LM moe_utils.py `sinkhorn`: K = exp(l) without shift, d1 from ones, until
//             mean_e |change of d1| <= tolerance, at most max_iterations sweeps.
//   neox      GPT-NeoX router.py: d1 from 1 / (E * column sums of K), at most 3 sweeps, stop after the
//             sweep whose change is < tolerance (one sweep at real sizes).
// The published forms are stated for |logits| <= 80: exp overflows fp32 beyond 88.7.
#include "moe/router.h"

#include <ATen/Parallel.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/index.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include "moe/routers/sinkhorn.h"
#include "ops/top_k.h"

namespace evenkeel::moe {
namespace {

constexpr double kEpsilon = 1e-8;  // of the published loops
constexpr double kPublishedRange = 80.0;

double max_abs(const at::Tensor& values) { return values.abs().max().item<double>(); }

}  // namespace

namespace {

// The log form where logits lie further apart than fp32 can scale: fp64, one logsumexp a side and sweep.
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
// and v = exp(b) the sweep is u = 1 / (T K v), v = 1 / (E K' u). Exact while no entry of K underflows.
SinkhornPlan sinkhorn_log(const at::Tensor& logits, double tolerance, int64_t max_iterations) {
  const auto n_tokens = static_cast<double>(logits.size(0)), n_experts = static_cast<double>(logits.size(1));
  const auto shifted = logits - at::amax(logits, {1}, /*keepdim=*/true);
  constexpr double kWidestSpread = 60.0;  // exp(-60) = 9e-27: sums over 1e9 tokens stay normal in fp32
  if (shifted.min().item<double>() < -kWidestSpread) return sinkhorn_log_wide(logits, tolerance, max_iterations);
  const auto kernel = at::exp(shifted);
  auto v = at::ones({logits.size(1)}, logits.options());
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

SinkhornPlan sinkhorn_megatron(const at::Tensor& logits, double tolerance, int64_t max_iterations) {
  const auto n_tokens = static_cast<double>(logits.size(0)), n_experts = static_cast<double>(logits.size(1));
  const auto kernel = at::exp(logits);
  auto d1 = at::ones({logits.size(1)}, logits.options());
  SinkhornPlan out;
  while (out.iterations < max_iterations) {
    ++out.iterations;
    const auto d0 = 1 / n_tokens / (at::mv(kernel, d1) + kEpsilon);
    const auto next = 1 / n_experts / (at::mv(kernel.t(), d0) + kEpsilon);
    const double error = (d1 - next).abs().mean().item<double>();
    d1 = next;
    if (!(error > tolerance)) break;
  }
  out.expert_bias = d1.log();
  return out;
}

SinkhornPlan sinkhorn_neox(const at::Tensor& logits, double tolerance, int64_t max_iterations) {
  const auto n_tokens = static_cast<double>(logits.size(0)), n_experts = static_cast<double>(logits.size(1));
  const auto kernel = at::exp(logits);
  auto d1 = 1 / (n_experts * kernel.sum(0));
  SinkhornPlan out;
  while (out.iterations < max_iterations) {
    ++out.iterations;
    const auto d0 = 1 / n_tokens / (at::mv(kernel, d1) + kEpsilon);
    const auto next = 1 / n_experts / (at::mv(kernel.t(), d0) + kEpsilon);
    const double error = (d1 - next).abs().mean().item<double>();
    d1 = next;
    if (error < tolerance) break;
  }
  out.expert_bias = d1.log();
  return out;
}

namespace {

struct SinkhornOptions {
  std::string variant = "log";
  double tolerance = 1e-4;
  int64_t max_iterations = 200;
  bool renormalize = false;
  static void visit_fields(auto& options, auto&& field) {
    field("variant", options.variant, "log, megatron or neox");
    field("tolerance", options.tolerance, "where the sweeps stop");
    field("max_iterations", options.max_iterations, "bound on the sweeps (neox: at most 3)");
    field("renormalize", options.renormalize, "divide by the sum of the selected; no effect at k = 1");
  }
};

class SinkhornRouter : public Router {
 public:
  SinkhornRouter(const RouterShape& shape, SinkhornOptions options) : shape_(shape), options_(std::move(options)) {}

  RoutingDecision route(const RouterInput& input) const override {
    const auto logits = router_logits(input, traits().max_abs_logit);  // [T, E]
    const auto expert_ids = input.mode == Mode::train && logits.size(0) > 0 ? balanced_ids(logits, input) : ops::top_k_ids(logits, shape_.top_k);
    at::Tensor weights;
    if (shape_.top_k == 1) {
      weights = at::sigmoid(logits.gather(1, expert_ids));
    } else {
      weights = at::softmax(logits, 1).gather(1, expert_ids);
      if (options_.renormalize) weights = weights / (weights.sum(1, /*keepdim=*/true) + 1e-20);
    }
    return token_choice(input, logits, expert_ids, weights);
  }

  RouterTraits traits() const override {
    RouterTraits out;
    out.train_scope = Scope::micro_batch;
    out.needs_balance = false;
    if (options_.variant != "log") out.max_abs_logit = kPublishedRange;
    return out;
  }

  Json options() const override {
    Json out = to_json(options_);
    out["kind"] = "sinkhorn";
    return out;
  }

 private:
  at::Tensor balanced_ids(const at::Tensor& logits, const RouterInput& input) const {
    const auto values = logits.detach();
    auto balanced = values;  // padding takes no part in the balance
    if (input.is_padding.defined()) balanced = values.index({input.is_padding.logical_not()});
    if (balanced.size(0) == 0) return ops::top_k_ids(values, shape_.top_k);
    SinkhornPlan plan;
    if (options_.variant == "log") {
      plan = sinkhorn_log(balanced, options_.tolerance, options_.max_iterations);
    } else if (options_.variant == "megatron") {
      plan = sinkhorn_megatron(balanced, options_.tolerance, options_.max_iterations);
    } else {
      constexpr int64_t kNeoxSweeps = 3;
      plan = sinkhorn_neox(balanced, options_.tolerance, std::min(kNeoxSweeps, options_.max_iterations));
    }
    return ops::top_k_ids(values + plan.expert_bias, shape_.top_k);
  }

  RouterShape shape_;
  SinkhornOptions options_;
};

}  // namespace

std::unique_ptr<Router> make_sinkhorn_router(const RouterShape& shape, const ConfigNode& config) {
  const auto options = read_options<SinkhornOptions>(config);
  const auto where = [&](const char* key) {
    const ConfigNode* node = config.find(key);
    return node != nullptr ? node->where : std::string("model.router");
  };
  require<ConfigError>(options.variant == "log" || options.variant == "megatron" || options.variant == "neox",
                       where("variant"), ": got model.router.variant = '", options.variant, "'; need log, megatron or neox");
  require<ConfigError>(options.tolerance > 0, where("tolerance"), ": got model.router.tolerance = ", options.tolerance,
                       "; need more than 0");
  require<ConfigError>(options.max_iterations >= 1 && options.max_iterations <= 100000, where("max_iterations"),
                       ": got model.router.max_iterations = ", options.max_iterations, "; need 1..100000");
  return std::make_unique<SinkhornRouter>(shape, options);
}

}  // namespace evenkeel::moe
