#include "analysis/window_bootstrap.h"

#include <cmath>

#include <gtest/gtest.h>

namespace evenkeel::analysis {
namespace {

TEST(WindowBootstrap, WeightsArePoissonAndThoseOfTheirWindow) {
  constexpr int64_t kWindows = 200;  // 40,000 weights: five standard errors of their mean and square are 0.025 and 0.1
  double sum = 0, square = 0, zeros = 0;
  for (uint64_t window = 0; window < kWindows; ++window)
    for (const double weight : WindowBootstrap::weights(1, 0, window)) {
      sum += weight;
      square += weight * weight;
      zeros += weight == 0 ? 1 : 0;
    }
  constexpr double n = kWindows * WindowBootstrap::kReplicates;
  EXPECT_NEAR(sum / n, 1.0, 0.025);
  EXPECT_NEAR(square / n, 2.0, 0.1);  // variance 1
  EXPECT_NEAR(zeros / n, std::exp(-1), 0.0121);
  EXPECT_EQ(WindowBootstrap::weights(1, 0, 3), WindowBootstrap::weights(1, 0, 3));
  EXPECT_NE(WindowBootstrap::weights(1, 0, 3), WindowBootstrap::weights(1, 0, 4));
  EXPECT_NE(WindowBootstrap::weights(1, 0, 3), WindowBootstrap::weights(1, 1, 3));
  EXPECT_NE(WindowBootstrap::weights(1, 0, 3), WindowBootstrap::weights(2, 0, 3));
}

TEST(WindowBootstrap, SumsByHandWhateverTheOrder) {
  WindowBootstrap forward(2), backward(2);
  WindowBootstrap::Weights one(WindowBootstrap::kReplicates, 1), two(WindowBootstrap::kReplicates, 0);
  two[7] = 3;
  const std::vector<int64_t> a = {1, 4}, b = {2, 0};
  forward.add(one, a);
  forward.add(two, b);
  backward.add(two, b);
  backward.add(one, a);
  EXPECT_EQ((std::vector<int64_t>{forward.replicate(0).begin(), forward.replicate(0).end()}), a);
  EXPECT_EQ((std::vector<int64_t>{forward.replicate(7).begin(), forward.replicate(7).end()}),
            (std::vector<int64_t>{7, 4}));
  for (size_t r = 0; r < WindowBootstrap::kReplicates; ++r)
    EXPECT_TRUE(std::equal(forward.replicate(r).begin(), forward.replicate(r).end(), backward.replicate(r).begin()));
}

// Values 0.3, 0.4, 0.5: mean 0.4, standard deviation 0.1. Figure 0.5: centre 0.6; five windows: factor sqrt(5/4), t of
// 4 degrees 2.776.
TEST(BootstrapInterval, ByHand) {
  const std::vector<double> values = {0.3, 0.4, 0.5};
  const auto interval = bootstrap_interval(0.5, values, 5, {0, 1});
  EXPECT_NEAR(interval->low, 0.6 - 2.776445 * 0.1 * std::sqrt(1.25), 1e-6);
  EXPECT_NEAR(interval->high, 0.6 + 2.776445 * 0.1 * std::sqrt(1.25), 1e-6);
  EXPECT_EQ(bootstrap_interval(0.5, values, 5, {0.4, 0.7})->low, 0.4);
  EXPECT_EQ(bootstrap_interval(0.5, values, 5, {0.4, 0.7})->high, 0.7);
  EXPECT_EQ(bootstrap_interval(3, values, 5, {0, 10})->low, 3);  // the figure itself is in it
}

TEST(BootstrapInterval, NothingIsSaidOfFewWindowsOrOfWhatHasNoValue) {
  const std::vector<double> values = {0.3, 0.4}, undefined = {0.3, NAN}, one = {0.3};
  EXPECT_FALSE(bootstrap_interval(0.5, values, 3, {0, 1}));
  EXPECT_TRUE(bootstrap_interval(0.5, values, 4, {0, 1}));
  EXPECT_FALSE(bootstrap_interval(0.5, undefined, 9, {0, 1}));
  EXPECT_FALSE(bootstrap_interval(0.5, one, 9, {0, 1}));
}

}  // namespace
}  // namespace evenkeel::analysis
