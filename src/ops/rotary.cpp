#include "ops/rotary.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

namespace evenkeel::ops {

at::Tensor rotary_frequencies(const Rotation& rotation) { return plain_frequencies(rotation); }

at::Tensor plain_frequencies(const Rotation& rotation) {
  const auto exponents = at::arange(0, rotation.dims, 2, at::kDouble) / static_cast<double>(rotation.dims);
  return (exponents * -std::log(rotation.theta)).exp();
}

RotaryTable make_rotary_table(const at::Tensor& positions, const at::Tensor& frequencies, at::ScalarType dtype) {
  const auto angles = positions.to(at::kDouble).unsqueeze(1) * frequencies.to(positions.device()).unsqueeze(0);
  return {angles.cos().to(dtype), angles.sin().to(dtype)};
}

at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table) {
  const int64_t half = table.cosine.size(1);
  if (half == 0) return x;
  const int64_t n_rows = table.cosine.size(0);
  const int64_t batch = n_rows == x.size(1) ? 1 : x.size(0);
  const auto cosine = table.cosine.view({batch, x.size(1), 1, half});
  const auto sine = table.sine.view({batch, x.size(1), 1, half});
  const auto first = x.narrow(3, 0, half), second = x.narrow(3, half, half);
  std::vector<at::Tensor> parts = {first * cosine - second * sine, second * cosine + first * sine};
  if (2 * half < x.size(3)) parts.push_back(x.narrow(3, 2 * half, x.size(3) - 2 * half));
  return at::cat(parts, 3);
}

}  // namespace evenkeel::ops
