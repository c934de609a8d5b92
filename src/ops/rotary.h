// Rotary position embedding (arXiv 2104.09864).
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// How the heads of a layer are rotated.
struct Rotation {
  int64_t dims = 0;  // the first so many features of a head, even; 0 = none
  double theta = 1e4;
  bool operator==(const Rotation&) const = default;
};

// The angles by which one position turns each pair of features, [dims / 2] fp64 on the CPU. A scaling for longer
// contexts is a function beside `plain_frequencies`, and a case here.
at::Tensor rotary_frequencies(const Rotation& rotation);
at::Tensor plain_frequencies(const Rotation& rotation);  // theta^(-2j / dims), eq. 15

struct RotaryTable {
  at::Tensor cosine, sine;  // [N, dims / 2]
};
// positions [N] i64; angles in fp64, the table in `dtype` where the positions are.
RotaryTable make_rotary_table(const at::Tensor& positions, const at::Tensor& frequencies, at::ScalarType dtype);

// Rotates the first dims of each head, halves paired (rotate-half). x [B, S, heads, head_dim]; the table has S rows,
// or B * S rows where positions differ between sequences. Differentiable in x.
at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table);

}  // namespace evenkeel::ops
