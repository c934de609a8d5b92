// The device that a run computes on. Code above src/ops passes this along and names no device.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

namespace evenkeel::ops {

// "cpu", "cuda", "cuda:N", or "" = cuda when there is one. ConfigError for other words and for a
// device that is not there.
at::Device find_device(const std::string& name);
std::string device_name(const at::Device& device);  // "cpu", "cuda:0"
void set_threads(int64_t n_threads);                // 0 = allowed_cores() of core/cores.h
int64_t n_threads();
std::string
cpu_isa();  // the widest instruction set that LibTorch's CPU kernels use here: "AVX512", "AVX2", "DEFAULT", ...
std::string torch_version();                 // of the headers: "2.13.0"
void synchronize(const at::Device& device);  // waits for the device's queue; nothing on a CPU

// Best fp32 rate of square products of these sizes, in FLOP/s.
double gemm_rate(const at::Device& device, const std::vector<int64_t>& sizes);

}  // namespace evenkeel::ops
