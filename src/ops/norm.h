// RMSNorm and rotary position embedding.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// x [..., H] * rsqrt(mean(x^2) + eps) * weight [H], statistics in the width of x (fp32 or fp64), both
// differentiable (arXiv 1910.07467, eq. 4).
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

struct RotaryTable {
  at::Tensor cosine, sine;  // [S or T, rotary_dims / 2], of the model's dtype
};
// Angles position * theta^(-2j / rotary_dims) (arXiv 2104.09864, eq. 15), computed in fp64.
// positions [N] i64 on the target device.
RotaryTable make_rotary_table(const at::Tensor& positions, int64_t rotary_dims, double theta, at::ScalarType dtype);

// Rotates the first rotary_dims of each head, halves paired (rotate-half). x [B, S, heads, head_dim];
// the table has S rows, or B*S rows when positions differ between sequences.
at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table);

}  // namespace evenkeel::ops
