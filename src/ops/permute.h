// Assignments of tokens to experts in the order of the experts, and back. What the experts do, and an exchange between
// ranks, stands between `permute` and `combine`. Legend: T tokens, N assignments, E experts, H width.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// N rows sorted by expert; within an expert they keep the order of the assignments.
struct Permutation {
  at::Tensor order;                      // [N] i64 row -> assignment
  at::Tensor row_tokens;                 // [N] i64 row -> token
  at::Tensor token_ids;                  // [N] i64 assignment -> token, ascending
  std::vector<int64_t> rows_per_expert;  // [E]
};
// token_ids [N] i64 ascending, expert_ids [N] i64 in 0 .. n_experts-1. N = 0 works.
Permutation sort_by_expert(const at::Tensor& token_ids, const at::Tensor& expert_ids, int64_t n_experts);

// x [T, H] -> [N, H], the token of each row. Differentiable in x.
at::Tensor permute(const at::Tensor& x, const Permutation& permutation);

// rows [N, H] -> [n_tokens, H]: the sum of the rows of each token, in the order of its assignments, so that the result
// does not depend on the number of threads; zeros for a token without one. Differentiable in rows.
at::Tensor combine(const at::Tensor& rows, const Permutation& permutation, int64_t n_tokens);

}  // namespace evenkeel::ops
