#include "moe/router.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/stack.h>

namespace evenkeel::moe {

void Router::after_step(ops::Params&, const at::Tensor&) const {}

at::Tensor router_logits(const RouterInput& input, double max_abs_logit) {
  const auto dtype = input.hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const auto bias = input.bias.defined() ? std::optional(input.bias.to(dtype)) : std::nullopt;
  auto logits = at::linear(input.hidden.to(dtype), input.weight.to(dtype), bias);
  if (logits.numel() == 0) return logits;
  auto checked = logits.detach();  // what padding says decides on nothing
  if (input.is_padding.defined()) checked = checked.masked_fill(input.is_padding.unsqueeze(1), 0);
  const auto [low, high] = at::aminmax(checked);
  const auto range = at::stack({low, high}).to(at::kDouble).cpu();  // one read of the device
  const double smallest = range.const_data_ptr<double>()[0], largest = range.const_data_ptr<double>()[1];
  const bool in_range = smallest >= -max_abs_logit && largest <= max_abs_logit;  // false for NaN
  require<NumericsError>(in_range, "layer ", input.layer, ", step ", input.step, ": got router logits from ", smallest,
                         " to ", largest, "; need finite values within +-", max_abs_logit);
  return logits;
}

namespace {

// Everything but logits and weights, from expert ids [T, K].
RoutingDecision choice_of(const RouterInput& input, int64_t n_experts, const at::Tensor& expert_ids) {
  RoutingDecision out;
  out.layer = input.layer;
  out.n_tokens = expert_ids.size(0);
  out.n_experts = n_experts;
  out.top_k = expert_ids.size(1);
  out.n_sequences = input.n_sequences;
  out.token_ids = at::arange(out.n_tokens, expert_ids.options())
                      .unsqueeze(1)
                      .expand({out.n_tokens, out.top_k})
                      .reshape({-1})
                      .contiguous();
  out.expert_ids = expert_ids.reshape({-1});
  out.is_padding = input.is_padding;
  return out;
}

}  // namespace

RoutingDecision token_choice(const RouterInput& input, const at::Tensor& logits, const at::Tensor& expert_ids,
                             const at::Tensor& weights) {
  auto out = choice_of(input, logits.size(1), expert_ids);
  out.logits = logits;
  out.weights = weights.reshape({-1});
  return out;
}

RoutingDecision fixed_choice(const RouterInput& input, int64_t n_experts, const at::Tensor& expert_ids) {
  auto out = choice_of(input, n_experts, expert_ids);
  const auto dtype = input.hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  out.weights =
      at::full(out.expert_ids.sizes(), 1.0 / static_cast<double>(out.top_k), input.hidden.options().dtype(dtype));
  return out;
}

}  // namespace evenkeel::moe
