// Random tensors that depend on (seed, position) alone: the same bits for any number of threads, and nothing to save.
#pragma once

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// U[0, 1), fp32 or fp64 by options, out of the numbers of SplitMix64 from `seed`: a double is the upper 53 bits of one,
// two floats the upper 24 bits of its halves, upper half first. The same bits on every device.
at::Tensor uniform_noise(at::IntArrayRef sizes, uint64_t seed, const at::TensorOptions& options);
// The same out of tensor operations, for devices that no loop of ours runs on.
at::Tensor uniform_noise_of_tensors(at::IntArrayRef sizes, uint64_t seed, const at::TensorOptions& options);
// N(0, 1) by Box and Muller's transform of two uniforms; the device's own log and cos.
at::Tensor normal_noise(at::IntArrayRef sizes, uint64_t seed, const at::TensorOptions& options);

}  // namespace evenkeel::ops
