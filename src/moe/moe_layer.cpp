#include "moe/moe_layer.h"

namespace evenkeel::moe {

MoeOutput moe_layer(const Router& router, const RouterInput& input, const ExpertWeights& experts, const CapacityConfig& capacity) {
  MoeOutput result;
  result.decision = router.route(input);
  apply_capacity(capacity, input, result.decision);
  result.decision.balance_statistics = router.balance_statistics(input, result.decision);
  const auto& decision = result.decision;
  const auto run = kept_assignments(capacity, input, decision);
  const auto& seen = decision.expert_input.defined() ? decision.expert_input : input.hidden;
  result.out = ops::routed_ffn(seen, run.token_ids, run.expert_ids, run.weights.to(input.hidden.scalar_type()),
                               experts.gate_up, experts.down, experts.activation);
  if (experts.shared_gate_up.defined())
    result.out = result.out + ops::gated_ffn(input.hidden, experts.shared_gate_up, experts.shared_down, experts.activation);
  return result;
}

}  // namespace evenkeel::moe
