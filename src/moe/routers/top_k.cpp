// Token-choice top-k (docs/routers.md). Scores s from logits l, selection by the largest, weights:
//   softmax_pre   s = softmax over all E; weight s, ÷ the sum of the selected with renormalize (OLMoE, Mixtral)
//   softmax_post  softmax over the k selected logits (Megatron's default); sums to 1: renormalize changes nothing
//   sigmoid       s = sigmoid(l), each expert by itself (DeepSeek-V3)
//   sqrtsoftplus  s = sqrt(softplus(l)) (Megatron)
// renormalize divides by a p-norm (MegaBlocks, OLMo-core; norm_p = 1 is the sum), scaling multiplies after it.
// Within groups (DeepSeek-V2, V3; Megatron's group_limited_topk): the experts are E / n_groups consecutive ones a
// group; a token chooses from its groups_per_token best groups, judged by their scores.
// Every score is monotone in its logit, so selection without groups is top-k of the logits. k = 1 keeps the raw score:
// dividing it by itself would make it the constant 1 and cut the router from the loss; renormalize_one does that for
// released models that were made so.
// Jitter: x or l times U(1 - e, 1 + e) (Switch, MegaBlocks, Megatron, Mixtral), or l + N(0, std^2) (ColossalAI).
#include "moe/routers/token_choice.h"

namespace evenkeel::moe {
namespace {

class TopKRouter : public Router {
 public:
  TopKRouter(const RouterShape& shape, TokenChoiceOptions options) : shape_(shape), options_(std::move(options)) {}

  RoutingDecision route(const RouterInput& input) const override {
    return choose_by_score(shape_, options_, input, /*expert_bias=*/{});
  }

  RouterTraits traits() const override {
    RouterTraits out;
    widen_scopes(options_.jitter, out);
    return out;
  }

  Json options() const override {
    Json out = to_json(options_);
    out["kind"] = "top_k";
    return out;
  }

 private:
  RouterShape shape_;
  TokenChoiceOptions options_;
};

std::unique_ptr<Router> make(const RouterShape& shape, TokenChoiceOptions options, const ConfigNode& config) {
  check_options(config, shape, options.score);
  check_options(config, shape, options.groups);
  check_options(config, shape, options.jitter);
  return std::make_unique<TopKRouter>(shape, options);
}

}  // namespace

RouterFactory top_k_router() { return factory_of(make); }

}  // namespace evenkeel::moe
