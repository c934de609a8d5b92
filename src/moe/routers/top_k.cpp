// Token-choice top-k (docs/routers.md). Scores s from logits l, selection by the largest, weights:
//   softmax_pre   s = softmax over all E; weight s, ÷ the sum of the selected with renormalize (OLMoE, Mixtral)
//   softmax_post  softmax over the k selected logits (Megatron's default); sums to 1: renormalize changes nothing
//   sigmoid       s = sigmoid(l), each expert by itself (DeepSeek-V3)
//   sqrtsoftplus  s = sqrt(softplus(l))
// Every score is monotone in its logit, so selection is top-k of the logits. k = 1 keeps the raw score:
// dividing it by itself would make it the constant 1 and cut the router from the loss.
#include "moe/router.h"

#include <ATen/ops/gather.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/sqrt.h>

#include "ops/top_k.h"

namespace evenkeel::moe {
namespace {

struct TopKOptions {
  std::string score = "softmax_pre";
  bool renormalize = false;
  static void visit_fields(auto& options, auto&& field) {
    field("score", options.score, "softmax_pre, softmax_post, sigmoid or sqrtsoftplus");
    field("renormalize", options.renormalize, "divide by the sum of the selected; no effect at k = 1");
  }
};

class TopKRouter : public Router {
 public:
  TopKRouter(const RouterShape& shape, TopKOptions options) : shape_(shape), options_(std::move(options)) {}

  RoutingDecision route(const RouterInput& input) const override {
    const auto logits = router_logits(input, traits().max_abs_logit);  // [T, E]
    const auto expert_ids = ops::top_k_ids(logits, shape_.top_k);      // [T, K]
    return token_choice(input, logits, expert_ids, selected_weights(logits, expert_ids));
  }

  RouterTraits traits() const override { return {}; }

  Json options() const override {
    Json out = to_json(options_);
    out["kind"] = "top_k";
    return out;
  }

 private:
  at::Tensor selected_weights(const at::Tensor& logits, const at::Tensor& expert_ids) const {
    if (options_.score == "softmax_post") return at::softmax(logits.gather(1, expert_ids), 1);
    at::Tensor weights;
    if (options_.score == "softmax_pre") {
      weights = at::softmax(logits, 1).gather(1, expert_ids);
    } else if (options_.score == "sigmoid") {
      weights = at::sigmoid(logits.gather(1, expert_ids));
    } else {
      weights = at::sqrt(at::softplus(logits.gather(1, expert_ids)).clamp_min(1e-30));
    }
    constexpr double kTiny = 1e-20;  // the divisor's guard of routing.md B.2
    if (options_.renormalize && shape_.top_k > 1) weights = weights / (weights.sum(1, /*keepdim=*/true) + kTiny);
    return weights;
  }

  RouterShape shape_;
  TopKOptions options_;
};

}  // namespace

std::unique_ptr<Router> make_top_k_router(const RouterShape& shape, const ConfigNode& config) {
  auto options = read_options<TopKOptions>(config);
  const ConfigNode* score = config.find("score");
  const auto& name = options.score;
  require<ConfigError>(name == "softmax_pre" || name == "softmax_post" || name == "sigmoid" || name == "sqrtsoftplus",
                       score != nullptr ? score->where : "model.router", ": got model.router.score = '", name,
                       "'; need softmax_pre, softmax_post, sigmoid or sqrtsoftplus");
  require<ConfigError>(name != "softmax_post" || shape.top_k > 1 || shape.n_experts == 1,
                       score != nullptr ? score->where : "model.router",
                       ": got model.router.score = 'softmax_post' with model.top_k = 1; need softmax_pre or sigmoid, since a softmax "
                       "over one logit is the constant 1 and gives the router no gradient");
  return std::make_unique<TopKRouter>(shape, options);
}

}  // namespace evenkeel::moe
