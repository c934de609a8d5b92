// The Sinkhorn loops, apart from the router, for tests and analysis.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::moe {

struct SinkhornPlan {
  at::Tensor expert_bias;  // [E]: top-k of a row of the plan = top-k of logits + expert_bias
  int64_t iterations = 0;
};

// What the published loops differ in, beside their bound on the sweeps.
struct SinkhornLoop {
  bool starts_at_ones;      // d1 = 1; else 1 / (E * column sums of exp(l))
  bool stops_at_tolerance;  // a change that equals the tolerance ends it; else only a smaller one
};
inline constexpr SinkhornLoop kMegatronLoop = {true, true};
inline constexpr SinkhornLoop kNeoxLoop = {false, false};

// logits [T, E], T >= 1, no gradient. See sinkhorn.cpp for the formulas and their sources.
SinkhornPlan sinkhorn_log(const at::Tensor& logits, double tolerance, int64_t max_iterations);
SinkhornPlan sinkhorn_published(const at::Tensor& logits, SinkhornLoop loop, double tolerance, int64_t max_iterations);

}  // namespace evenkeel::moe
