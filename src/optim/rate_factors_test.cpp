#include "optim/rate_factors.h"

#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

namespace evenkeel::optim {
namespace {

TEST(RateFactors, AreOneWhereNothingIsSaid) {
  const RateFactors none, some{{1, 0, 0.25}};
  EXPECT_EQ(none.of(7), 1.0);
  EXPECT_FALSE(none.is_frozen(7));
  EXPECT_EQ(some.of(2), 0.25);
  EXPECT_TRUE(some.is_frozen(1));
  EXPECT_FALSE(some.is_frozen(2));
  EXPECT_EQ(some.ranges(2, 5), (std::vector<RowRate>{{0, 5, 0.25}}));
}

TEST(MatchesPattern, StarStandsForAnyCharacters) {
  EXPECT_TRUE(matches_pattern("layers.3.router.weight", "*.router.weight"));
  EXPECT_TRUE(matches_pattern("layers.3.router.weight", "layers.*.router.*"));
  EXPECT_TRUE(matches_pattern("head.weight", "head.weight"));
  EXPECT_TRUE(matches_pattern("head.weight", "head.weight*"));
  EXPECT_TRUE(matches_pattern("", "*"));
  EXPECT_TRUE(matches_pattern("", ""));
  EXPECT_TRUE(matches_pattern("aab", "*ab"));  // the star must give a character back
  EXPECT_FALSE(matches_pattern("head.weight", "head"));
  EXPECT_FALSE(matches_pattern("head", "head.weight"));
  EXPECT_FALSE(matches_pattern("layers.3.ffn.down.weight", "*.router.*"));
  EXPECT_FALSE(matches_pattern("a", ""));
  EXPECT_FALSE(matches_pattern(std::string(2000, 'a'), "*a*a*a*a*a*a*a*a*a*b"));  // returns at once
}

TEST(RowPatterns, AreNamesWithARangeBehindThem) {
  const auto plain = read_row_pattern("layers.*.router.*");
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->names, "layers.*.router.*");
  EXPECT_FALSE(plain->has_rows);
  const auto read = [](const std::string& text) {
    const auto out = read_row_pattern(text);
    EXPECT_TRUE(out && out->has_rows && out->names == "a.*") << text;
    return out ? std::pair(out->begin, out->end.value_or(-1)) : std::pair<int64_t, int64_t>(-2, -2);
  };
  EXPECT_EQ(read("a.*[3:8]"), std::pair(INT64_C(3), INT64_C(8)));
  EXPECT_EQ(read("a.*[:8]"), std::pair(INT64_C(0), INT64_C(8)));
  EXPECT_EQ(read("a.*[32000:]"), std::pair(INT64_C(32000), INT64_C(-1)));
  EXPECT_EQ(read("a.*[:]"), std::pair(INT64_C(0), INT64_C(-1)));
  for (const char* text : {"a[", "a[]", "a[3]", "a[3:3]", "a[4:3]", "a[-1:]", "a[1:2", "a[1:2]b", "a[x:]", "a[1:2:3]",
                           "a[1: 2]", "a[1234567890123:]"})
    EXPECT_FALSE(read_row_pattern(text).has_value()) << text;
}

TEST(MergedRates, AreTheSmallestOfThoseThatNameARow) {
  EXPECT_EQ(merged_rates(6, {}), (std::vector<RowRate>{{0, 6, 1}}));
  EXPECT_EQ(merged_rates(6, {{0, 6, 0.5}}), (std::vector<RowRate>{{0, 6, 0.5}}));
  EXPECT_EQ(merged_rates(6, {{0, 2, 0}}), (std::vector<RowRate>{{0, 2, 0}, {2, 6, 1}}));
  EXPECT_EQ(merged_rates(6, {{0, 3, 0.5}, {2, 5, 0.1}}), (std::vector<RowRate>{{0, 2, 0.5}, {2, 5, 0.1}, {5, 6, 1}}));
  EXPECT_EQ(merged_rates(6, {{0, 3, 0}, {3, 6, 0}}), (std::vector<RowRate>{{0, 6, 0}}));
  EXPECT_EQ(merged_rates(6, {{0, 6, 2}, {1, 2, 3}}), (std::vector<RowRate>{{0, 6, 2}}));
}

TEST(ZeroFrozenRows, LeavesTheOthers) {
  RateFactors factors{{1, 1, 1}};
  factors.rows[0] = {{0, 1, 0}, {1, 2, 0.5}, {2, 3, 0}};
  factors.rows[2] = {{0, 1, 0}, {1, 2, 1}};
  const std::vector<at::Tensor> gradients = {at::ones({3, 2}), at::ones({3}), at::Tensor()};
  zero_frozen_rows(factors, gradients);
  EXPECT_EQ(gradients[0].sum().item<double>(), 2);
  EXPECT_EQ(gradients[0][1].sum().item<double>(), 2);
  EXPECT_EQ(gradients[1].sum().item<double>(), 3);
}

}  // namespace
}  // namespace evenkeel::optim
