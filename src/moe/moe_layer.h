// One mixture-of-experts layer: route, run the experts, combine, add the shared experts.
#pragma once

#include <ATen/core/Tensor.h>

#include "moe/capacity.h"
#include "moe/router.h"
#include "ops/gated_ffn.h"

namespace evenkeel::moe {

struct ExpertWeights {
  at::Tensor gate_up;         // [E, 2I, H]
  at::Tensor down;            // [E, H, I]
  at::Tensor shared_gate_up;  // [2 * n_shared * I, H], undefined without shared experts
  at::Tensor shared_down;     // [H, n_shared * I]
  ops::Activation activation = ops::Activation::swiglu;
};

struct MoeOutput {
  at::Tensor out;  // [T, H]: sum_k weight_k * expert_k(x) + shared(x)
  RoutingDecision decision;
};

// Routes, drops what is over capacity, runs the experts. input.hidden [T, H] is what they see, unless the
// router changed it (jitter). Dropped assignments contribute nothing. T = 0 works.
MoeOutput moe_layer(const Router& router, const RouterInput& input, const ExpertWeights& experts, const CapacityConfig& capacity = {});

}  // namespace evenkeel::moe
