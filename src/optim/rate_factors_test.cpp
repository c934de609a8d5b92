#include "optim/rate_factors.h"

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

}  // namespace
}  // namespace evenkeel::optim
