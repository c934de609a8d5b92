// One mixture-of-experts layer: route, run the experts, combine, add the shared experts.
#pragma once

#include <ATen/core/Tensor.h>

#include "moe/capacity.h"
#include "moe/router.h"
#include "ops/gated_ffn.h"

namespace evenkeel::moe {

struct ExpertWeights : ops::Experts {
  // One network Is wide, which every token passes: what several shared experts side by side are.
  at::Tensor shared_gate_up;    // [form.gate_up_width(Is), H], undefined without shared experts
  at::Tensor shared_down;       // [H, Is]
  at::Tensor shared_gate = {};  // [1, H], undefined: its output enters the sum as it is
};

struct MoeOutput {
  at::Tensor out;  // [T, H]: sum_k weight_k * expert_k(x) + shared(x), the latter times sigmoid(x . shared_gate)
  RoutingDecision decision;
};

// out[t] = sum over the assignments n of token t: weights[n] * FFN_{expert_ids[n]}(x[t]); x [T, H] -> [T, H].
// Differentiable in x, the weights and the experts.
at::Tensor routed_ffn(const at::Tensor& x, const Assignments& assignments, const ops::Experts& experts);

// Routes, drops what is over capacity, runs the experts. input.hidden [T, H] is what they see, unless the
// router changed it (jitter). Dropped assignments contribute nothing, and no expert runs padding, of which the shared
// experts alone are left. T = 0 works.
MoeOutput moe_layer(const Router& router, const RouterInput& input, const ExpertWeights& experts,
                    const CapacityConfig& capacity = {});

}  // namespace evenkeel::moe
