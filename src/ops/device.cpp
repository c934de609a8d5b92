#include "ops/device.h"

#include <chrono>

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <torch/version.h>

#include "core/cores.h"
#include "core/errors.h"

namespace evenkeel::ops {

at::Device find_device(const std::string& name) {
  const bool has_cuda = at::hasCUDA() && at::globalContext().hasCUDA();
  if (name == "cpu" || (name.empty() && !has_cuda)) return at::Device(at::kCPU);
  if (name.empty()) return at::Device(at::kCUDA, 0);
  const bool is_cuda = name == "cuda" || (name.rfind("cuda:", 0) == 0 && name.size() > 5 && name.size() < 8 &&
                                          name.find_first_not_of("0123456789", 5) == std::string::npos);
  require<ConfigError>(is_cuda, "--device: got '", name, "'; need cpu, cuda or cuda:N");
  require<ConfigError>(has_cuda, "--device: got '", name,
                       "', which is not there; need a GPU and a LibTorch with CUDA, or --device cpu");
  const int index = name == "cuda" ? 0 : std::stoi(name.substr(5));
  const int n_devices = at::detail::getCUDAHooks().deviceCount();
  require<ConfigError>(index < n_devices, "--device: got '", name, "'; need one of ", n_devices, " devices");
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
}

std::string device_name(const at::Device& device) { return device.str(); }

void set_threads(int64_t n) { at::set_num_threads(static_cast<int>(n > 0 ? n : allowed_cores())); }

int64_t n_threads() { return at::get_num_threads(); }

std::string cpu_isa() { return at::get_cpu_capability(); }
std::string torch_version() { return TORCH_VERSION; }

void synchronize(const at::Device& device) {
  // Reading a value waits for everything before it in the stream.
  if (!device.is_cpu()) at::full({1}, 0.0, at::TensorOptions(device)).item<float>();
}

double gemm_rate(const at::Device& device, const std::vector<int64_t>& sizes) {
  double best = 0;
  for (const int64_t n : sizes) {
    const auto a = at::full({n, n}, 0.5, at::TensorOptions(device).dtype(at::kFloat)), b = a.clone();
    auto c = at::mm(a, b);
    const int repeats = static_cast<int>(std::max<int64_t>(3, 8192 / n));
    for (int i = 0; i < repeats; ++i) {
      synchronize(device);
      const auto begin = std::chrono::steady_clock::now();
      at::mm_out(c, a, b);
      synchronize(device);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      best = std::max(best, 2.0 * static_cast<double>(n * n * n) / seconds);
    }
  }
  return best;
}

}  // namespace evenkeel::ops
