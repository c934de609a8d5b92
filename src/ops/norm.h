// RMSNorm.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// x [..., H] * rsqrt(mean(x^2) + eps) * weight [H], statistics in the width of x (fp32 or fp64), both
// differentiable (arXiv 1910.07467, eq. 4).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

}  // namespace evenkeel::ops
