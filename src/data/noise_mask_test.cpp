#include "data/noise_mask.h"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "golden/golden.h"

namespace evenkeel::data {
namespace {

TEST(NoiseMask, IsTheGoldenOne) {
  const auto golden = testing::read_golden("objectives.json");
  const auto& cases = golden.inputs.at("masks").as_array();
  for (size_t i = 0; i < cases.size(); ++i) {
    const Json& need = golden.outputs.at("masks").at(i);
    const int64_t n_tokens = cases[i].at("n_tokens").as_int();
    const auto noise = noise_counts(n_tokens, cases[i].at("density").as_double(), cases[i].at("mean_span").as_double());
    EXPECT_EQ(noise.tokens, need.at("noise").as_int()) << i;
    EXPECT_EQ(noise.spans, need.at("spans").as_int()) << i;
    RngStream rng(static_cast<uint64_t>(cases[i].at("seed").as_int()), "a mask",
                  static_cast<uint64_t>(cases[i].at("number").as_int()));
    const auto mask = random_spans_mask(n_tokens, noise, rng);
    EXPECT_EQ(std::vector<int64_t>(mask.begin(), mask.end()), testing::integers_of(need.at("is_noise"))) << i;
  }
}

TEST(NoiseMask, CountsAsT5Does) {
  const auto counts = [](int64_t n_tokens, double density, double mean_span) {
    const auto noise = noise_counts(n_tokens, density, mean_span);
    return std::pair(noise.tokens, noise.spans);
  };
  EXPECT_EQ(counts(1137, 0.15, 3), std::pair(int64_t{171}, int64_t{57}));  // 170.55 tokens
  EXPECT_EQ(counts(1535, 0.5, 3), std::pair(int64_t{768}, int64_t{256}));  // 767.5: to the even number
  EXPECT_EQ(counts(2, 0.01, 3), std::pair(int64_t{1}, int64_t{1}));        // 0.02: at least one
  EXPECT_EQ(counts(2, 0.99, 3), std::pair(int64_t{1}, int64_t{1}));        // 1.98: one stays
  EXPECT_EQ(counts(10, 0.8, 1), std::pair(int64_t{8}, int64_t{2}));        // two tokens stand between spans
}

TEST(NoiseMask, HasItsSpansBeginningWithoutNoise) {
  for (uint64_t number = 0; number < 200; ++number) {
    RngStream sizes(number, "sizes"), rng(number, "mask");
    const auto n_tokens = static_cast<int64_t>(2 + sizes.below(60));
    const auto noise = noise_counts(n_tokens, sizes.uniform(), 1 + 5 * sizes.uniform());
    const auto mask = random_spans_mask(n_tokens, noise, rng);
    ASSERT_EQ(static_cast<int64_t>(mask.size()), n_tokens);
    EXPECT_EQ(std::count(mask.begin(), mask.end(), true), noise.tokens);
    EXPECT_FALSE(mask.front());
    int64_t spans = 0;
    for (size_t i = 1; i < mask.size(); ++i) spans += mask[i] && !mask[i - 1] ? 1 : 0;
    EXPECT_EQ(spans, noise.spans);
  }
}

// Of 10 tokens, 5 of them noise in 3 spans: C(4, 2) = 6 divisions of either, hence 36 masks.
TEST(NoiseMask, IsEachOfItsKindAsOften) {
  std::map<std::vector<bool>, int64_t> drawn;
  constexpr int64_t kDraws = 36'000;
  for (uint64_t number = 0; number < kDraws; ++number) {
    RngStream rng(5, "mask", number);
    ++drawn[random_spans_mask(10, {5, 3}, rng)];
  }
  ASSERT_EQ(drawn.size(), 36U);
  for (const auto& [mask, count] : drawn)
    EXPECT_NEAR(static_cast<double>(count), 1000, 5 * 31.2);  // five standard deviations of a binomial
}

}  // namespace
}  // namespace evenkeel::data
