#include "ops/allocator.h"

#include <new>

#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

namespace evenkeel::ops {
namespace {

TEST(Allocator, GivesAlignedBlocksThatKeepTheirValues) {
  install_allocator();
  for (const int64_t n : {1, 1000, 20000, 3000001}) {
    const auto tensor = at::ones({n}, at::kFloat);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 64, 0u) << n;
    EXPECT_EQ(tensor.sum().item<double>(), static_cast<double>(n));
    const auto copy = tensor.clone();
    EXPECT_TRUE(copy.equal(tensor)) << n;
  }
  EXPECT_EQ(at::empty({0}, at::kFloat).numel(), 0);
}

// A block that was freed, with kept ones on both sides of it, is taken again by a request of its size.
TEST(Allocator, FillsAHoleOfTheSameSize) {
  install_allocator();
  const auto block = [] { return at::empty({25000}, at::kFloat); };  // 100 kB: from the heap
  const auto before = block();
  auto hole = block();
  const auto after = block();
  const void* place = hole.const_data_ptr();
  hole.reset();
  EXPECT_EQ(block().const_data_ptr(), place);
}

TEST(Allocator, RefusesWhatNoMachineHas) {
  install_allocator();
  EXPECT_ANY_THROW(at::empty({int64_t{1} << 60}, at::kFloat));
}

}  // namespace
}  // namespace evenkeel::ops
