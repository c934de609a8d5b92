// Gated feed-forward networks: the dense one, and all routed experts of a layer in one grouped pass.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/config_tree.h"

namespace evenkeel::ops {

// silu(gate) * up; gelu(gate) * up, exact (erf) or by its tanh formula (arXiv 2002.05202)
enum class Activation { swiglu, geglu, geglu_tanh };
std::span<const Named<Activation>> names_of(Activation);

struct GatedFfn {
  at::Tensor gate_up;  // [2I, H], rows: gate, then up
  at::Tensor down;     // [H, I]
  Activation activation = Activation::swiglu;
  at::Tensor gate_up_bias = {}, down_bias = {};  // [2I], [H]; undefined: none
};
// x [T, H] -> [T, H]; all differentiable.
at::Tensor gated_ffn(const at::Tensor& x, const GatedFfn& ffn);

// The routed experts of a layer.
struct Experts {
  at::Tensor gate_up;  // [E, 2I, H]
  at::Tensor down;     // [E, H, I]
  Activation activation = Activation::swiglu;
};
// out[n] = weights[n] * FFN_e(rows[n]), e the expert of row n: the first rows_per_expert[0] rows are those of expert 0,
// then come those of expert 1, ... (ops/permute.h). rows [N, H], weights [N] of the same type -> [N, H]. Differentiable
// in rows, weights, gate_up, down. Experts without rows get zero gradients; N = 0 works. One pass over tiles of at most
// kTileRows rows of one expert, tiles in parallel on the CPU; every sum has a fixed order, so the result does not
// depend on the number of threads.
at::Tensor experts_ffn(const at::Tensor& rows, const at::Tensor& weights, const std::vector<int64_t>& rows_per_expert,
                       const Experts& experts);

}  // namespace evenkeel::ops
