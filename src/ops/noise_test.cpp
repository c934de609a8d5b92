#include "ops/noise.h"

#include <cmath>
#include <numbers>

#include <ATen/Parallel.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "support/gradients.h"

namespace evenkeel::ops {
namespace {

using testing::same_bits;

TEST(UniformNoise, IsSplitMix) {
  // The published test vector of SplitMix64 with seed 1234567, its first numbers.
  const std::vector<uint64_t> need = {6457827717110365317ULL, 3203168211198807973ULL, 9817491932198370423ULL};
  const auto wide = uniform_noise({3}, 1234567, at::kDouble), narrow = uniform_noise({3}, 1234567, at::kFloat);
  for (int64_t i = 0; i < 3; ++i)
    EXPECT_EQ(wide[i].item<double>(), static_cast<double>(need[static_cast<size_t>(i)] >> 11) * 0x1.0p-53);
  for (int64_t i = 0; i < 3; ++i) {
    const uint64_t half =
        i % 2 == 0 ? need[static_cast<size_t>(i / 2)] >> 32 : need[static_cast<size_t>(i / 2)] & 0xffffffff;
    EXPECT_EQ(narrow[i].item<float>(), static_cast<float>(half >> 8) * 0x1.0p-24f);
  }
}

TEST(UniformNoise, IsTheSameOutOfTensorOperations) {
  for (const auto dtype : {at::kFloat, at::kDouble})
    for (const uint64_t seed : {uint64_t{0}, uint64_t{7}, ~uint64_t{0}, uint64_t{1} << 63})
      EXPECT_TRUE(same_bits(uniform_noise({37, 5}, seed, dtype), uniform_noise_of_tensors({37, 5}, seed, dtype)))
          << seed;
  EXPECT_EQ(uniform_noise_of_tensors({0, 5}, 1, at::kFloat).sizes(), (at::IntArrayRef{0, 5}));
}

TEST(UniformNoise, DoesNotDependOnThreads) {
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = uniform_noise({64, 257}, 5, at::kFloat);
  at::set_num_threads(2);
  EXPECT_TRUE(same_bits(uniform_noise({64, 257}, 5, at::kFloat), one));
  at::set_num_threads(threads);
  EXPECT_FALSE(same_bits(uniform_noise({64, 257}, 6, at::kFloat), one));
}

// 40,000 draws: the mean of U is within 5 standard errors (0.0014), that of N within 5 x 0.005.
TEST(Noise, HasItsMoments) {
  const auto uniform = uniform_noise({200, 200}, 3, at::kDouble);
  EXPECT_GE(uniform.min().item<double>(), 0.0);
  EXPECT_LT(uniform.max().item<double>(), 1.0);
  EXPECT_NEAR(uniform.mean().item<double>(), 0.5, 0.0073);
  EXPECT_NEAR((uniform * uniform).mean().item<double>(), 1.0 / 3, 0.0075);
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const auto normal = normal_noise({200, 200}, 3, dtype).to(at::kDouble);
    EXPECT_NEAR(normal.mean().item<double>(), 0.0, 0.025);
    EXPECT_NEAR((normal * normal).mean().item<double>(), 1.0, 0.036);
    EXPECT_NEAR(normal.abs().mean().item<double>(), std::sqrt(2 / std::numbers::pi), 0.0151);
    EXPECT_NEAR((normal.narrow(1, 0, 199) * normal.narrow(1, 1, 199)).mean().item<double>(), 0.0, 0.025);
  }
}

}  // namespace
}  // namespace evenkeel::ops
