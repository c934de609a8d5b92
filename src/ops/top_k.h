// Selection of the k largest scores of each row, ties to the lower index.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// scores [T, E] floating -> ids [T, k] i64, best first; equal scores go to the lower id. 1 <= k <= E.
// Nothing flows back through a selection. NaN never wins against a number.
at::Tensor top_k_ids(const at::Tensor& scores, int64_t k);

// True when every element is finite. One pass.
bool all_finite(const at::Tensor& values);

}  // namespace evenkeel::ops
