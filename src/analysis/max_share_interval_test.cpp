#include "analysis/max_share_interval.h"

#include <gtest/gtest.h>

#include "core/rng.h"

namespace evenkeel::analysis {
namespace {

// Two windows of 50 tokens, 30 and 20 of each expert in both: no design effect.
const WindowSums kAlike{2, 5000, {2 * 900, 2 * 400}, {2 * 1500, 2 * 1000}};

TEST(MaxShareInterval, WilsonByHandForTwoExperts) {
  // z of 1 - 0.05 / 4 is 2.241403; p = 0.6, n = 100: center (0.6 + 0.0251194) / 1.0502388, half 2.241403 / 1.0502388
  // sqrt(0.0024 + 1.25597e-4)
  const auto interval = max_share_interval({60, 40}, 100, &kAlike);
  ASSERT_TRUE(interval);
  EXPECT_NEAR(interval->low, 0.487953, 1e-5);
  EXPECT_NEAR(interval->high, 0.702469, 1e-5);
  EXPECT_DOUBLE_EQ(interval->effective_tokens, 100);
}

TEST(ShareIntervals, OfEachExpertByItself) {
  const WindowSums windows{2, 5000, {2500, 2500}, {2500, 2500}};  // 100 times as unsure: one effective token
  const auto independent = share_intervals({60, 40}, 100, &kAlike), apart = share_intervals({50, 50}, 100, &windows);
  ASSERT_EQ(independent.size(), 2u);
  EXPECT_NEAR(independent[0].low, 0.502002,
              1e-5);  // Wilson's, z = 1.959964: center (0.6 + 0.0192073) / 1.0384146, half 0.0942943
  EXPECT_NEAR(independent[0].high, 0.690599, 1e-5);
  EXPECT_NEAR(apart[1].high, wilson_interval(0.5, 1.0, 1.959963984540054).high, 1e-9);
  EXPECT_TRUE(share_intervals({0, 0}, 0, &kAlike).empty());
  EXPECT_TRUE(share_intervals({60, 40}, 100, nullptr).empty());
  const WindowSums one{1, 100, {25, 25}, {50, 50}};
  EXPECT_TRUE(share_intervals({5, 5}, 10, &one).empty());
}

TEST(MaxShareInterval, NothingIsSaidWithoutTokensOrWindows) {
  EXPECT_FALSE(max_share_interval({0, 0}, 0, &kAlike));
  EXPECT_FALSE(max_share_interval({60, 40}, 100, nullptr));  // published counts: nothing says how the text varies
  const WindowSums one{1, 100, {25, 25}, {50, 50}};
  EXPECT_FALSE(max_share_interval({5, 5}, 10, &one));
}

TEST(WindowSums, WindowsOfOneNumberCountAsOne) {
  WindowSums parts{.count_squared = {0, 0}, .count_times_tokens = {0, 0}}, whole = parts;
  parts.add(std::vector<int64_t>{3, 1}, 4, 0);
  parts.add(std::vector<int64_t>{0, 2}, 2, 0);
  parts.add(std::vector<int64_t>{5, 5}, 10, 1);
  whole.add(std::vector<int64_t>{3, 3}, 6);
  whole.add(std::vector<int64_t>{5, 5}, 10);
  const auto closed = parts.closed();
  EXPECT_EQ(closed.n_windows, 2);
  EXPECT_EQ(closed.tokens_squared, 136);
  EXPECT_EQ(closed.count_squared, (std::vector<int64_t>{34, 34}));
  EXPECT_EQ(closed.count_times_tokens, (std::vector<int64_t>{68, 68}));
  EXPECT_EQ(whole.count_squared, closed.count_squared);
}

TEST(MaxShareInterval, WindowsThatAgreeOrDisagree) {
  // Two windows of 50 tokens. Equal halves: no design effect. All of an expert's tokens in one window: share 1 and 0,
  // variance 2 (50 - 25)^2 2 / 100^2 = 0.25 in place of 0.25 / 100: 100 times.
  const WindowSums equal{2, 5000, {2 * 625, 2 * 625}, {2 * 1250, 2 * 1250}}, apart{2, 5000, {2500, 2500}, {2500, 2500}};
  EXPECT_DOUBLE_EQ(max_share_interval({50, 50}, 100, &equal)->effective_tokens, 100);
  const auto wide = max_share_interval({50, 50}, 100, &apart);
  EXPECT_NEAR(wide->effective_tokens, 1.0, 1e-9);
  EXPECT_GT(wide->high - wide->low, 0.8);
}

// Draws windows whose tokens prefer the experts of the window's topic, and counts how often the interval holds the
// largest probability of the mixture.
struct Draws {
  std::vector<std::vector<double>> topics;  // [topics][E] probabilities
  int64_t n_windows, window_tokens;
};

double coverage(const Draws& draws, int n_repeats, uint64_t seed) {
  const size_t E = draws.topics[0].size();
  std::vector<double> truth(E, 0.0);
  for (const auto& topic : draws.topics)
    for (size_t e = 0; e < E; ++e) truth[e] += topic[e] / static_cast<double>(draws.topics.size());
  const double largest = *std::max_element(truth.begin(), truth.end());
  int held = 0;
  RngStream rng(seed, "coverage");
  for (int repeat = 0; repeat < n_repeats; ++repeat) {
    std::vector<int64_t> counts(E, 0);
    WindowSums sums{0, 0, std::vector<int64_t>(E, 0), std::vector<int64_t>(E, 0)};
    for (int64_t w = 0; w < draws.n_windows; ++w) {
      const auto& topic = draws.topics[rng.below(draws.topics.size())];
      std::vector<int64_t> window(E, 0);
      for (int64_t t = 0; t < draws.window_tokens; ++t) {
        double left = rng.uniform();
        size_t e = 0;
        while (e + 1 < E && (left -= topic[e]) > 0) ++e;
        ++window[e];
      }
      ++sums.n_windows;
      sums.tokens_squared += draws.window_tokens * draws.window_tokens;
      for (size_t e = 0; e < E; ++e) {
        counts[e] += window[e];
        sums.count_squared[e] += window[e] * window[e];
        sums.count_times_tokens[e] += window[e] * draws.window_tokens;
      }
    }
    const auto interval = max_share_interval(counts, draws.n_windows * draws.window_tokens, &sums);
    held += interval && interval->low <= largest && largest <= interval->high ? 1 : 0;
  }
  return static_cast<double>(held) / n_repeats;
}

TEST(MaxShareInterval, HoldsTheTruthAsOftenAsItSays) {
  // 500 repeats: a true 95 % is below 0.92 once in 700. Uniform is the hardest: the largest of many equals.
  const std::vector<double> uniform(8, 0.125), skewed = {0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05};
  EXPECT_GE(coverage({{uniform}, 20, 50}, 500, 1), 0.92);
  EXPECT_GE(coverage({{skewed}, 20, 50}, 500, 2), 0.92);
}

TEST(MaxShareInterval, TokensOfAWindowThatResembleEachOtherAreNotCountedAsIndependent) {
  std::vector<std::vector<double>> topics;
  for (size_t topic = 0; topic < 4; ++topic) {
    topics.emplace_back(8, 0.3 / 7);
    topics.back()[topic] = 0.7;
  }
  EXPECT_GE(coverage({topics, 30, 50}, 500, 3), 0.92);
  EXPECT_GE(coverage({topics, 200, 10}, 500, 4), 0.92);
}

}  // namespace
}  // namespace evenkeel::analysis
