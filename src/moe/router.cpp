#include "moe/router.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/linear.h>

namespace evenkeel::moe {

void Router::after_step(ops::Params&, const at::Tensor&) const {}

at::Tensor router_logits(const RouterInput& input, double max_abs_logit) {
  const auto dtype = input.hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto logits = at::linear(input.hidden.to(dtype), input.weight.to(dtype));
  if (logits.numel() == 0) return logits;
  const auto [low, high] = at::aminmax(logits.detach());
  const double smallest = low.item<double>(), largest = high.item<double>();
  const bool in_range = smallest >= -max_abs_logit && largest <= max_abs_logit;  // false for NaN
  require<NumericsError>(in_range, "layer ", input.layer, ", step ", input.step, ": got router logits from ", smallest,
                         " to ", largest, "; need finite values within +-", max_abs_logit);
  return logits;
}

RoutingDecision token_choice(const RouterInput& input, const at::Tensor& logits, const at::Tensor& expert_ids,
                             const at::Tensor& weights) {
  RoutingDecision out;
  out.layer = input.layer;
  out.n_tokens = logits.size(0);
  out.n_experts = logits.size(1);
  out.top_k = expert_ids.size(1);
  out.n_sequences = input.n_sequences;
  out.logits = logits;
  out.token_ids = at::arange(out.n_tokens, expert_ids.options()).unsqueeze(1).expand({out.n_tokens, out.top_k}).reshape({-1}).contiguous();
  out.expert_ids = expert_ids.reshape({-1});
  out.weights = weights.reshape({-1});
  out.is_padding = input.is_padding;
  return out;
}

}  // namespace evenkeel::moe
