// Uniform assignment, for measuring: every expert gets the same work whatever the tokens say (MegaBlocks
// layers/router.py, `uniform_expert_assignment`). Assignment j of token t goes to expert (t k + j) mod E, with
// weight 1 / k; MegaBlocks keeps its learned weights instead. In training t counts the micro-batch's tokens that
// are no padding, so no two loads differ by more than 1; at evaluation it is the position in the sequence, so
// that results do not depend on the batch. No matrix, no state, nothing to learn.
#include "moe/router.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/remainder.h>

namespace evenkeel::moe {
namespace {

struct UniformOptions {
  static void visit_fields(auto&, auto&&) {}
};

class UniformRouter : public Router {
 public:
  explicit UniformRouter(const RouterShape& shape) : shape_(shape) {}

  RoutingDecision route(const RouterInput& input) const override {
    const auto t = turns(input);                                                               // [T]
    const auto slots = t.unsqueeze(1) * shape_.top_k + at::arange(shape_.top_k, t.options());  // [T, K]
    return fixed_choice(input, shape_.n_experts, at::remainder(slots, shape_.n_experts));
  }

  RouterTraits traits() const override {
    RouterTraits out;
    out.train_scope = Scope::micro_batch;  // where a token stands in it
    out.eval_scope = Scope::sequence;
    out.balanced_train = out.balanced_eval = true;
    out.has_matrix = out.has_weight_gradient = out.needs_balance = false;
    return out;
  }

  Json options() const override { return Json::Object{{"kind", "uniform"}}; }

 private:
  // [T] i64: the turn of each token. Padding has the turn of the token before it.
  static at::Tensor turns(const RouterInput& input) {
    const int64_t n_tokens = input.hidden.size(0);
    const auto index = at::arange(n_tokens, input.hidden.options().dtype(at::kLong));
    if (n_tokens > 0 && input.mode == Mode::eval) return at::remainder(index, n_tokens / input.n_sequences);
    return input.is_padding.defined() ? (input.is_padding.logical_not().cumsum(0) - 1).clamp_min(0) : index;
  }

  RouterShape shape_;
};

std::unique_ptr<Router> make(const RouterShape& shape, UniformOptions, const ConfigNode&) {
  return std::make_unique<UniformRouter>(shape);
}

}  // namespace

RouterFactory uniform_router() { return factory_of(make); }

}  // namespace evenkeel::moe
