// Selection of the largest: the k best of each row, ties to the lower index, and the k-th largest of each column.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// scores [T, E] floating -> ids [T, k] i64, best first; equal scores go to the lower id. 1 <= k <= E.
// bias [E] or undefined is added to every row first, in the wider of the two types.
// Nothing flows back through a selection. NaN never wins against a number.
at::Tensor top_k_ids(const at::Tensor& scores, int64_t k, const at::Tensor& bias = {});

// values [T, E] fp32 or fp64 without NaN -> [E], the k-th largest of each column. 1 <= k <= T. No gradient.
at::Tensor kth_largest_of_columns(const at::Tensor& values, int64_t k);

// True when every element is finite. One pass.
bool all_finite(const at::Tensor& values);

}  // namespace evenkeel::ops
