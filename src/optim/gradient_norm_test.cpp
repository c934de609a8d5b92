#include "optim/gradient_norm.h"

#include <cmath>
#include <limits>

#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/gradients.h"

namespace evenkeel::optim {
namespace {

TEST(GradientNorm, IsTheRootOfAllSquares) {
  EXPECT_EQ(gradient_norm({}), 0.0);
  EXPECT_EQ(gradient_norm({at::Tensor(), at::ones({0})}), 0.0);
  EXPECT_DOUBLE_EQ(gradient_norm({at::full({1}, 3.0), at::Tensor(), at::full({2, 2}, 2.0)}), 5.0);
  EXPECT_DOUBLE_EQ(gradient_norm({at::full({3}, 2.0, at::kDouble), at::full({1}, 2.0)}), 4.0);
  EXPECT_DOUBLE_EQ(gradient_norm({at::full({4, 9}, 1.0).t().narrow(0, 0, 4)}), 4.0);  // not contiguous
  EXPECT_TRUE(std::isnan(gradient_norm({at::full({9}, std::numeric_limits<float>::quiet_NaN())})));
  EXPECT_TRUE(std::isinf(gradient_norm({at::full({9}, std::numeric_limits<float>::infinity())})));
  EXPECT_GT(gradient_norm({at::full({9}, 3e38)}), 3e38);  // squares beyond the range of fp32
}

// 2^27 entries of 1e-3 have the norm 1e-3 * 2^13.5 = 11.585; ATen's fp32 norm says 11.353.
TEST(GradientNorm, HoldsForLargeTensors) {
  const double entry = static_cast<double>(1e-3F);
  for (const int power : {24, 27}) {
    const double expected = entry * std::pow(2.0, power / 2.0);
    EXPECT_NEAR(gradient_norm({at::full({int64_t{1} << power}, 1e-3)}) / expected, 1.0, 1e-6)
        << power;  // fp64 sums are far below it
  }
}

TEST(GradientNorm, HasTheSameBitsForAnyNumberOfThreads) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
  const auto gradient = at::randn({300'007}, generator);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const double one = gradient_norm({gradient});
  at::set_num_threads(2);
  EXPECT_EQ(gradient_norm({gradient}), one);
  at::set_num_threads(before);
}

TEST(ClipGradients, ScalesOnlyAboveTheNorm) {
  auto gradients = std::vector<at::Tensor>{at::tensor({3.0, 4.0}), at::Tensor()};
  clip_gradients(gradients, 5.0, 10.0);
  EXPECT_TRUE(testing::same_bits(gradients[0], at::tensor({3.0, 4.0})));
  clip_gradients(gradients, 5.0, 0.0);  // 0 = no clipping
  EXPECT_TRUE(testing::same_bits(gradients[0], at::tensor({3.0, 4.0})));
  clip_gradients(gradients, 5.0, 1.0);
  const double scale = 1.0 / (5.0 + 1e-6);
  testing::expect_close(gradients[0], at::tensor({3.0 * scale, 4.0 * scale}, at::kDouble), 1e-6, 0,
                        "clipped");  // at::tensor may be fp32
}

}  // namespace
}  // namespace evenkeel::optim
