// Gated feed-forward networks: the dense one, and all routed experts of a layer in one grouped pass.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/config_tree.h"
#include "ops/packing.h"

namespace evenkeel::ops {

// How gate and up become what `down` sees.
enum class Activation {
  swiglu,          // silu(gate) * up (arXiv 2002.05202)
  geglu,           // gelu(gate) * up, exact (erf); there too
  geglu_tanh,      // the same by its tanh formula
  swiglu_clamped,  // g sigmoid(alpha g) * (u + 1), g = min(gate, limit), u = up within +-limit (gpt-oss)
  swiglu_double    // gate is 2 I wide, (a, b): a silu(b) * up (flaxformer's SwiGLU beside a linear up; OpenMoE)
};
std::span<const Named<Activation>> names_of(Activation);

struct GatedForm {
  Activation activation = Activation::swiglu;
  double alpha = 1.702, limit = 7;  // of swiglu_clamped
  GatedForm() = default;
  GatedForm(Activation of, double alpha_of = 1.702, double limit_of = 7)
      : activation(of), alpha(alpha_of), limit(limit_of) {}
  int64_t gate_width(int64_t inner) const { return activation == Activation::swiglu_double ? 2 * inner : inner; }
  int64_t gate_up_width(int64_t inner) const { return gate_width(inner) + inner; }
  std::vector<PackedPart> gate_up_parts(int64_t inner) const { return {{"gate", gate_width(inner)}, {"up", inner}}; }
};

// Legend: G = form.gate_up_width(I), which is 2 I, or 3 I of swiglu_double.
struct GatedFfn {
  at::Tensor gate_up;  // [G, H], rows: gate, then up
  at::Tensor down;     // [H, I]
  GatedForm form = {};
  at::Tensor gate_up_bias = {}, down_bias = {};  // [G], [H]; undefined: none
};
// x [T, H] -> [T, H]; all differentiable.
at::Tensor gated_ffn(const at::Tensor& x, const GatedFfn& ffn);

// The matrices of one expert: [G, H], [H, I]; its biases [G], [H], undefined: none.
struct ExpertMatrices {
  at::Tensor gate_up, down, gate_up_bias = {}, down_bias = {};
};
// Experts that are not in memory: `load` makes one, in the type of the rows and on their device. Several threads call
// it at a time.
struct StoredExperts {
  int64_t n_experts = 0, inner = 0;  // E, I
  std::function<ExpertMatrices(int64_t expert)> load;
};

// The routed experts of a layer.
struct Experts {
  at::Tensor gate_up;  // [E, G, H]
  at::Tensor down;     // [E, H, I]
  GatedForm form = {};
  at::Tensor gate_up_bias = {}, down_bias = {};  // [E, G], [E, H]; undefined: none
  const StoredExperts* stored = nullptr;         // in place of all of these tensors
  int64_t n_experts() const { return stored != nullptr ? stored->n_experts : gate_up.size(0); }
};
// out[n] = weights[n] * FFN_e(rows[n]), e the expert of row n: the first rows_per_expert[0] rows are those of expert 0,
// then come those of expert 1, ... (ops/permute.h). rows [N, H], weights [N] of the same type -> [N, H]. Differentiable
// in rows, weights, matrices and biases. Experts without rows get zero gradients; N = 0 works. One pass over tiles of
// at most kTileRows rows of one expert, tiles in parallel on the CPU; every sum has a fixed order, so the result does
// not depend on the number of threads. Stored experts, without gradient, are made once each, by the thread that takes
// all tiles of one: the same bits.
at::Tensor experts_ffn(const at::Tensor& rows, const at::Tensor& weights, const std::vector<int64_t>& rows_per_expert,
                       const Experts& experts);

}  // namespace evenkeel::ops
