// Gated feed-forward networks: the dense one, and all routed experts of a layer in one grouped pass.
#pragma once

#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/config_tree.h"

namespace evenkeel::ops {

enum class Activation { swiglu,
                        geglu };  // silu(gate) * up; exact (erf) gelu(gate) * up (arXiv 2002.05202)
void read_value(const ConfigNode& node, const std::string& path, Activation& out);
Json to_json(Activation activation);
inline std::string type_of(Activation) { return "string"; }

// x [T, H], gate_up [2I, H] (rows: gate, then up), down [H, I] -> [T, H]; all differentiable.
at::Tensor gated_ffn(const at::Tensor& x, const at::Tensor& gate_up, const at::Tensor& down, Activation activation);

// N assignments sorted by expert (stable: within an expert the order of the assignments).
struct ExpertOrder {
  at::Tensor order;                        // [N] i64: position in expert order -> assignment
  std::vector<int64_t> tokens_per_expert;  // [E]
};
// expert_ids [N] i64 in 0 .. n_experts-1.
ExpertOrder sort_by_expert(const at::Tensor& expert_ids, int64_t n_experts);

// out[t] = sum over assignments n of token t: weights[n] * FFN_{expert_ids[n]}(x[token_ids[n]])
//   x [T, H], token_ids [N] i64 ascending, expert_ids [N] i64, weights [N] (dtype of x)
//   gate_up [E, 2I, H], down [E, H, I]
// Differentiable in x, weights, gate_up, down. Experts without tokens get zero gradients; N = 0 works.
// One pass over tiles of at most kTileRows rows of one expert, tiles in parallel on the CPU; every sum has
// a fixed order, so the result does not depend on the number of threads.
at::Tensor routed_ffn(const at::Tensor& x, const at::Tensor& token_ids, const at::Tensor& expert_ids,
                      const at::Tensor& weights, const at::Tensor& gate_up, const at::Tensor& down,
                      Activation activation);

}  // namespace evenkeel::ops
