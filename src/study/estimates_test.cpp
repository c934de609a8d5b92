#include "study/estimates.h"

#include <cmath>

#include <gtest/gtest.h>

namespace evenkeel::study {
namespace {

// The loss of one run, of two windows.
train::LossFigure of_windows(double a, double b) {
  return {(a + b) / 2, std::abs(a - b) / 2, analysis::ClusterMeans{{a, b}, {8, 8}}};
}

TEST(Estimates, OfSeveralSeedsTheirMeanAndSpreadOfOneTheErrorOfTheText) {
  Estimates figures;
  for (const auto& [seed, value] : {std::pair(1, 2.0), std::pair(2, 3.0), std::pair(3, 4.0)})
    figures.add("three", seed, value);
  figures.add("one", 1, of_windows(2.0, 2.2));
  figures.add("bare", 1, 2.0);
  EXPECT_EQ(figures.of("three").value, 3.0);
  EXPECT_EQ(*figures.of("three").error, 1.0);
  EXPECT_EQ(figures.of("three").text(), "3.0 ± 1.0");
  EXPECT_NEAR(*figures.of("one").error, 0.1, 1e-12);
  EXPECT_EQ(figures.of("one").text(true), "+2.10 ± 0.10");
  EXPECT_FALSE(figures.of("bare").error);
}

// Differences of 0.1, 0.2, 0.3: mean 0.2, standard deviation 0.1; t of 2 degrees is 4.303 (Abramowitz and Stegun,
// table 26.10).
TEST(Estimates, TheSameSeedsArePaired) {
  Estimates figures;
  for (const auto& [seed, a, b] : {std::tuple(1, 5.1, 5.0), std::tuple(2, 7.2, 7.0), std::tuple(3, 9.3, 9.0)}) {
    figures.add("a", seed, a);
    figures.add("b", seed, b);
  }
  const auto paired = figures.difference("a", "b");
  EXPECT_NEAR(paired.value, 0.2, 1e-12);
  EXPECT_NEAR(*paired.half, 4.3027 * 0.1 / std::sqrt(3), 1e-4);
  EXPECT_FALSE(paired.is_beyond_noise());
  EXPECT_EQ(paired.text(), "no difference beyond noise: +0.20; 95 %: −0.05 to +0.45");
}

// 1, 3 and 10, 12, 14: squares about the means 2 + 8, 3 degrees, t 3.182; se sqrt(10 / 3 (1/2 + 1/3)) = 5 / 3.
TEST(Estimates, OtherSeedsArePooled) {
  Estimates figures;
  for (const auto& [seed, value] : {std::pair(1, 1.0), std::pair(2, 3.0)}) figures.add("a", seed, value);
  for (const auto& [seed, value] : {std::pair(1, 10.0), std::pair(2, 12.0), std::pair(3, 14.0)})
    figures.add("b", seed, value);
  const auto pooled = figures.difference("a", "b");
  EXPECT_NEAR(pooled.value, -10.0, 1e-12);
  EXPECT_NEAR(*pooled.half, 3.182446 * 5 / 3, 1e-5);
  EXPECT_TRUE(pooled.is_beyond_noise());
}

// Counts and grids agree exactly: an interval of no width would say that no other seed could differ.
TEST(Estimates, PairsThatAllAgreeHaveNoInterval) {
  Estimates figures;
  for (const int64_t seed : {1, 2, 3}) {
    figures.add("a", seed, 8.0);
    figures.add("b", seed, 8.0);
    figures.add("less", seed, 7.7 + 0.1 * static_cast<double>(seed));
    figures.add("least", seed, 7.2 + 0.1 * static_cast<double>(seed));  // 0.5 below in each, but for rounding
  }
  const auto none = figures.difference("a", "b");
  EXPECT_FALSE(none.half);
  EXPECT_FALSE(none.is_beyond_noise());
  EXPECT_EQ(none.text(), "no difference in any of 3 pairs");
  const auto same = figures.difference("least", "less");
  EXPECT_FALSE(same.half);
  EXPECT_EQ(same.n_equal, 3U);
  EXPECT_EQ(same.text(), "−0.500 in each of 3 pairs");
  figures.add("other", 9, 8.0);  // seeds that are not paired, and that have no spread either
  EXPECT_EQ(figures.difference("a", "other").text(), "0; its error is not known");
  for (const int64_t seed : {1, 2, 3}) {
    figures.add("read", seed, of_windows(2.0, 2.2));
    figures.add("reread", seed, of_windows(2.0, 2.4));
  }
  EXPECT_NEAR(figures.difference("reread", "read").half.value_or(0), 12.7062 * 0.1,
              1e-4);  // the text says how far they vary: 0 and 0.2, of one degree
}

// A group of one seed has the spread of the other: 10, 12, 14 against 1: variance 4, 2 degrees, se sqrt(4 (1/3 + 1)).
TEST(Estimates, OneSeedAgainstSeveralHasTheirSpread) {
  Estimates figures;
  figures.add("a", 1, 1.0);
  for (const auto& [seed, value] : {std::pair(1, 10.0), std::pair(2, 12.0), std::pair(3, 14.0)})
    figures.add("b", seed, value);
  EXPECT_NEAR(*figures.difference("b", "a").half, 4.302653 * std::sqrt(16.0 / 3), 1e-5);
}

TEST(Estimates, OfOneSeedTheErrorOfTheTextIsPaired) {
  Estimates figures;
  figures.add("a", 1, of_windows(5.0, 7.0));
  figures.add("b", 1, of_windows(4.0, 6.2));
  figures.add("bare", 1, 2.0);
  const auto difference = figures.difference("a", "b");  // 1.0 and 0.8: se 0.1, one degree
  EXPECT_NEAR(difference.value, 0.9, 1e-12);
  EXPECT_NEAR(*difference.half, 12.7062 * 0.1, 1e-4);
  EXPECT_FALSE(figures.difference("a", "bare").half);
  EXPECT_FALSE(figures.difference("a", "bare").is_beyond_noise());
}

TEST(Estimates, TheLargestOfSeveralDifferencesIsHeldToMore) {
  Estimates figures;
  for (int64_t seed = 1; seed <= 6; ++seed) {
    figures.add("a", seed, static_cast<double>(seed % 2));
    figures.add("b", seed, 0.0);
  }
  EXPECT_NEAR(*figures.difference("a", "b", 5).half / *figures.difference("a", "b").half, 4.032143 / 2.570582,
              1e-5);  // t of 5 degrees at 99 and 95 %
}

}  // namespace
}  // namespace evenkeel::study
