#include "ops/allocator.h"

#include <cstdint>
#include <cstdlib>
#include <new>

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

namespace evenkeel::ops {
namespace {

class AligningAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t n_bytes) override {
    constexpr size_t kAlignment = 64, kSmall = size_t{64} << 10;  // small blocks are LibTorch's as they were
    if (n_bytes < kSmall) return c10::GetDefaultCPUAllocator()->allocate(n_bytes);
    void* block = n_bytes > SIZE_MAX - kAlignment ? nullptr : std::malloc(n_bytes + kAlignment);
    if (block == nullptr) throw std::bad_alloc();
    const auto begin = (reinterpret_cast<uintptr_t>(block) + kAlignment - 1) / kAlignment * kAlignment;
    return {reinterpret_cast<void*>(begin), block, &std::free, c10::Device(c10::DeviceType::CPU)};
  }
  void copy_data(void* to, const void* from, size_t n_bytes) const override { default_copy_data(to, from, n_bytes); }
};

}  // namespace

void install_allocator() {
  static AligningAllocator allocator;  // tensors with static storage may outlive main
  constexpr uint8_t kAboveLibTorchs = 1;
  c10::SetCPUAllocator(&allocator, kAboveLibTorchs);
}

}  // namespace evenkeel::ops
