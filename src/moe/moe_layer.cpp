#include "moe/moe_layer.h"

#include <ATen/ops/nonzero.h>

namespace evenkeel::moe {

MoeOutput moe_layer(const Router& router, const RouterInput& input, const ExpertWeights& experts, const CapacityConfig& capacity) {
  MoeOutput result;
  result.decision = router.route(input);
  apply_capacity(capacity, input, result.decision);
  result.decision.balance_statistics = router.balance_statistics(input, result.decision);
  const auto& decision = result.decision;
  auto token_ids = decision.token_ids, expert_ids = decision.expert_ids, weights = decision.weights;
  if (decision.dropped.defined()) {
    const auto kept = decision.dropped.logical_not().nonzero().squeeze(1);
    token_ids = token_ids.index_select(0, kept);
    expert_ids = expert_ids.index_select(0, kept);
    weights = weights.index_select(0, kept);
  }
  const auto& seen = decision.expert_input.defined() ? decision.expert_input : input.hidden;
  result.out = ops::routed_ffn(seen, token_ids, expert_ids, weights.to(input.hidden.scalar_type()),
                               experts.gate_up, experts.down, experts.activation);
  if (experts.shared_gate_up.defined())
    result.out = result.out + ops::gated_ffn(input.hidden, experts.shared_gate_up, experts.shared_down, experts.activation);
  return result;
}

}  // namespace evenkeel::moe
