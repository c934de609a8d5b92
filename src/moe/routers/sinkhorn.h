// The three Sinkhorn loops, apart from the router, for tests and analysis.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::moe {

struct SinkhornPlan {
  at::Tensor expert_bias;  // [E]: top-k of a row of the plan = top-k of logits + expert_bias
  int64_t iterations = 0;
};

// logits [T, E], T >= 1, no gradient. See sinkhorn.cpp for the formulas and their sources.
SinkhornPlan sinkhorn_log(const at::Tensor& logits, double tolerance, int64_t max_iterations);
SinkhornPlan sinkhorn_megatron(const at::Tensor& logits, double tolerance, int64_t max_iterations);
SinkhornPlan sinkhorn_neox(const at::Tensor& logits, double tolerance, int64_t max_iterations);

}  // namespace evenkeel::moe
