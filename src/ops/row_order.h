// Order within rows of unequal length.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// rows [N] i64 ascending, values [N] floating -> [N] i64, the positions row by row with the largest value first; equal
// values keep their order. Nothing flows back through it.
at::Tensor falling_within_rows(const at::Tensor& rows, const at::Tensor& values);

}  // namespace evenkeel::ops
