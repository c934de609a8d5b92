#include "moe/moe_layer.h"

#include <ATen/ops/linear.h>

#include "ops/permute.h"

namespace evenkeel::moe {

at::Tensor routed_ffn(const at::Tensor& x, const Assignments& assignments, const ops::Experts& experts) {
  const auto permutation = ops::sort_by_expert(assignments.token_ids, assignments.expert_ids, experts.n_experts());
  const auto rows = ops::permute(x, permutation);
  const auto weights = assignments.weights.to(x.scalar_type()).index_select(0, permutation.order);
  return ops::combine(ops::experts_ffn(rows, weights, permutation.rows_per_expert, experts), permutation, x.size(0));
}

namespace {
at::Tensor shared_ffn(const at::Tensor& x, const ExpertWeights& experts) {
  const auto out = ops::gated_ffn(x, {experts.shared_gate_up, experts.shared_down, experts.form});
  return experts.shared_gate.defined() ? at::linear(x, experts.shared_gate).sigmoid() * out : out;
}
}  // namespace

MoeOutput moe_layer(const Router& router, const RouterInput& input, const ExpertWeights& experts,
                    const CapacityConfig& capacity) {
  MoeOutput result;
  result.decision = router.route(input);
  apply_capacity(capacity, input, result.decision);
  result.decision.balance_statistics = router.balance_statistics(input, result.decision);
  const auto& decision = result.decision;
  const auto& seen = decision.expert_input.defined() ? decision.expert_input : input.hidden;
  result.out = routed_ffn(seen, kept_assignments(capacity, input, decision), experts);
  if (experts.shared_gate_up.defined()) result.out = result.out + shared_ffn(input.hidden, experts);
  return result;
}

}  // namespace evenkeel::moe
