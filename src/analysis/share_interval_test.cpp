#include "analysis/share_interval.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include <gtest/gtest.h>

#include "analysis/cluster_mean.h"
#include "core/rng.h"

namespace evenkeel::analysis {
namespace {

TEST(WilsonInterval, ByHand) {
  // z = 2, n = 16, p = 1/2: center 1/2, half 2 / 1.25 sqrt(1/64 + 1/256) = 1.6 sqrt(5) / 16
  const auto half = wilson_interval(0.5, 16, 2);
  EXPECT_DOUBLE_EQ(half.low, 0.5 - 0.1 * std::sqrt(5));
  EXPECT_DOUBLE_EQ(half.high, 0.5 + 0.1 * std::sqrt(5));
  EXPECT_EQ(wilson_interval(0, 16, 2).low, 0.0);
  EXPECT_DOUBLE_EQ(wilson_interval(0, 16, 2).high, 4.0 / 20);  // z^2 / (n + z^2)
  EXPECT_EQ(wilson_interval(1, 16, 2).high, 1.0);
}

TEST(NormalQuantile, MatchesTheTables) {  // Abramowitz and Stegun, table 26.5
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-9);
  EXPECT_NEAR(normal_quantile(0.5), 0.0, 1e-12);
  EXPECT_NEAR(normal_quantile(1 - 0.05 / 128), 3.3597, 5e-4);
  EXPECT_NEAR(normal_quantile(1e-10), -normal_quantile(1 - 1e-10), 1e-5);  // 1 - 1e-10 has 6 digits of its tail
}

TEST(StudentsQuantile,
     MatchesTheTables) {  // Abramowitz and Stegun, table 26.10, three digits; 1 and 2 degrees by their closed forms
  EXPECT_NEAR(t_quantile(1), std::tan(0.475 * 3.141592653589793), 1e-9);
  EXPECT_NEAR(t_quantile(2), 0.95 * std::sqrt(2 / (1 - 0.95 * 0.95)), 1e-9);
  EXPECT_NEAR(t_quantile(3), 3.182, 5e-4);
  EXPECT_NEAR(t_quantile(4), 2.776, 5e-4);
  EXPECT_NEAR(t_quantile(10), 2.228, 5e-4);
  EXPECT_NEAR(t_quantile(120), 1.980, 5e-4);
  EXPECT_NEAR(t_quantile(1'000'000'000), 1.959964, 1e-6);
  EXPECT_NEAR(t_quantile(5, 0.01), 4.032, 5e-4);
  EXPECT_NEAR(t_quantile(30, 0.002), 3.385, 5e-4);
  EXPECT_NEAR(t_quantile(200), t_quantile(201), 1e-4);  // where the formulas meet
}

TEST(ShareInterval, IsWidenedByClustersThatDisagree) {
  // Four clusters of ten. Half of each: no design effect. All of two and none of the others: squares 4 * 25, so the
  // variance between is 4/3 100 / 1600 = 1/12 in place of 1/160, 40/3 times: three effective trials.
  ShareSums alike, apart;
  for (const int64_t part : {5, 5, 5, 5}) alike.add(part, 10);
  for (const int64_t part : {10, 0, 0, 10}) apart.add(part, 10);
  const double z = t_quantile(3);
  EXPECT_DOUBLE_EQ(share_interval(alike)->low, wilson_interval(0.5, 40, z).low);
  EXPECT_NEAR(share_interval(apart)->low, wilson_interval(0.5, 3, z).low, 1e-12);
  EXPECT_NEAR(share_interval(apart)->high, wilson_interval(0.5, 3, z).high, 1e-12);
}

TEST(ShareInterval, NothingIsSaidOfFewClustersAndNoneIsCounted) {
  ShareSums sums;
  for (int i = 0; i < 3; ++i) sums.add(1, 2);
  for (int i = 0; i < 9; ++i) sums.add(0, 0);
  EXPECT_EQ(sums.n_clusters, 3);
  EXPECT_FALSE(share_interval(sums));
  EXPECT_FALSE(share_interval({}));
  sums.add(1, 2);
  EXPECT_TRUE(share_interval(sums));
}

TEST(ShareInterval, AddsUp) {
  ShareSums whole, left, right;
  for (const auto& [part, n] : {std::pair{1, 4}, {2, 3}, {0, 5}, {6, 6}, {1, 1}}) {
    whole.add(part, n);
    (n > 4 ? left : right).add(part, n);
  }
  add(left, right);
  EXPECT_EQ(left.part, whole.part);
  EXPECT_EQ(left.n_clusters, whole.n_clusters);
  EXPECT_EQ(share_interval(left)->low, share_interval(whole)->low);
  EXPECT_EQ(share_interval(left)->high, share_interval(whole)->high);
}

// What was routed together is one cluster, in however many parts it comes.
TEST(ShareInterval, PartsOfAClusterAreOne) {
  ShareSums parts, whole;
  for (const auto& [part, of, number] : {std::tuple(1, 4, 0), std::tuple(2, 4, 0), std::tuple(5, 8, 1),
                                         std::tuple(0, 3, 2), std::tuple(1, 1, 2), std::tuple(4, 9, 3)})
    parts.add(part, of, number);
  for (const auto& [part, of] : {std::pair(3, 8), std::pair(5, 8), std::pair(1, 4), std::pair(4, 9)})
    whole.add(part, of);
  EXPECT_EQ(parts.closed().n_clusters, 4);
  EXPECT_EQ(share_interval(parts)->low, share_interval(whole)->low);
  EXPECT_EQ(share_interval(parts)->high, share_interval(whole)->high);
  ShareSums total;
  add(total, parts);
  EXPECT_EQ(share_interval(total)->low, share_interval(whole)->low);
}

TEST(MeanInterval, ByHand) {
  // 0, 0, 1, 1: mean 1/2, variance 1/3, standard error sqrt(1/12); the ends are beyond 0 and 1.
  MeanSums sums;
  for (const double value : {0.0, 0.0, 1.0}) sums.add(value);
  EXPECT_FALSE(mean_interval(sums));
  sums.add(1);
  EXPECT_EQ(mean_interval(sums)->low, 0.0);
  EXPECT_EQ(mean_interval(sums)->high, 1.0);
  MeanSums narrow;
  for (const double value : {0.4, 0.5, 0.5, 0.6}) narrow.add(value);
  EXPECT_NEAR(mean_interval(narrow)->high, 0.5 + t_quantile(3) * std::sqrt(0.02 / 3 / 4), 1e-12);
}

// Clusters of Poisson-like sizes whose probability varies between them: uniform on [0.3 - spread, 0.3 + spread].
double coverage(double spread, int64_t n_clusters, uint64_t seed) {
  constexpr int kRepeats = 1000;
  RngStream rng(seed, "share coverage");
  int held = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    ShareSums sums;
    for (int64_t cluster = 0; cluster < n_clusters; ++cluster) {
      const double p = 0.3 + spread * (2 * rng.uniform() - 1);
      const auto n = static_cast<int64_t>(20 + rng.below(41));
      int64_t part = 0;
      for (int64_t i = 0; i < n; ++i) part += rng.uniform() < p ? 1 : 0;
      sums.add(part, n);
    }
    const auto interval = share_interval(sums);
    held += interval->low <= 0.3 && 0.3 <= interval->high ? 1 : 0;
  }
  return static_cast<double>(held) / kRepeats;
}

TEST(ShareInterval, HoldsTheTruthAsOftenAsItSays) {
  // 1,000 repeats: a true 95 % is below 0.93 once in 500. At least 1 of design effect: above 95 % where clusters do not
  // matter.
  EXPECT_GE(coverage(0.0, 5, 1), 0.93);
  EXPECT_GE(coverage(0.0, 40, 2), 0.93);
  EXPECT_GE(coverage(0.25, 5, 3), 0.93);
  EXPECT_GE(coverage(0.25, 40, 4), 0.93);
  EXPECT_LE(coverage(0.25, 40, 5), 0.98);  // and not by being wide
}

// Windows of 32 tokens whose probability is 0.3 + 0.1 x, x an AR(1) series of variance 1 within ±2.9, as windows of a
// text that resemble their neighbours; clusters are blocks of so many windows.
double coverage_of_neighbours(double rho, int64_t n_windows, int64_t block, uint64_t seed) {
  constexpr int kRepeats = 1000;
  RngStream rng(seed, "coverage of neighbours");
  int held = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    ShareSums sums;
    double x = rng.normal();
    for (int64_t window = 0; window < n_windows; ++window) {
      const double p = 0.3 + 0.1 * std::clamp(x, -2.9, 2.9);
      int64_t part = 0;
      for (int i = 0; i < 32; ++i) part += rng.uniform() < p ? 1 : 0;
      sums.add(part, 32, window / block);
      x = rho * x + std::sqrt(1 - rho * rho) * rng.normal();
    }
    const auto interval = share_interval(sums);
    held += interval->low <= 0.3 && 0.3 <= interval->high ? 1 : 0;
  }
  return static_cast<double>(held) / kRepeats;
}

// A simulation in another language (numpy, 1,000 series) gives 0.79 and 0.94, 0.56 and 0.92 of 256 windows, 0.79 and
// 0.93 of 100; bounds are three of its standard errors, 0.013 and 0.008, from that and its own.
TEST(ShareInterval, BlocksHoldTheTruthThatSingleWindowsMiss) {
  struct Case {
    double rho;
    int64_t n;
    double by_windows, by_blocks;
  };
  for (const auto& [rho, n, by_windows, by_blocks] :
       {Case{0.56, 256, 0.794, 0.939}, Case{0.8, 256, 0.556, 0.923}, Case{0.56, 100, 0.788, 0.929}}) {
    EXPECT_NEAR(coverage_of_neighbours(rho, n, 1, 1), by_windows, 0.066) << rho << " " << n;
    EXPECT_NEAR(coverage_of_neighbours(rho, n, block_size(n), 2), by_blocks, 0.035) << rho << " " << n;
  }
}

}  // namespace
}  // namespace evenkeel::analysis
