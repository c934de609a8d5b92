#include "analysis/cluster_mean.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/errors.h"
#include "golden/golden.h"

namespace evenkeel::analysis {
namespace {

std::vector<double> numbers(const Json& json) {
  std::vector<double> out;
  for (const auto& value : json.as_array()) out.push_back(value.as_double());
  return out;
}

TEST(ClusterMean, MatchesTheGoldenFile) {
  const auto golden = testing::read_golden("cluster_mean.json");
  for (const auto& [name, input] : golden.inputs.as_object()) {
    const ClusterMeans a{numbers(input.at("means")), testing::integers_of(input.at("tokens"))},
        b{numbers(input.at("others")), a.tokens};
    const Json& need = golden.outputs.at(name);
    EXPECT_NEAR(mean_of(a), need.at("mean").as_double(), golden.rtol * need.at("mean").as_double()) << name;
    EXPECT_NEAR(*standard_error(a), need.at("se").as_double(), golden.rtol * need.at("se").as_double()) << name;
    EXPECT_NEAR(*standard_error(*difference(a, b)), need.at("paired_se").as_double(),
                golden.rtol * need.at("paired_se").as_double())
        << name;
  }
}

TEST(ClusterMean, OneClusterHasNoErrorAndEqualOnesZero) {
  EXPECT_FALSE(standard_error({{3.0}, {8}}));
  EXPECT_FALSE(standard_error({}));
  EXPECT_EQ(*standard_error({{3.0, 3.0}, {8, 5}}), 0.0);
}

TEST(ClusterMean, NeighboursGoIntoBlocks) {
  const ClusterMeans five{{1, 2, 3, 4, 9}, {1, 3, 2, 2, 7}};
  EXPECT_EQ(in_blocks(five, 5).means, five.means);
  const auto blocks = in_blocks(five, 4);  // two in each, the last alone
  EXPECT_EQ(blocks.means, (std::vector<double>{1.75, 3.5, 9}));
  EXPECT_EQ(blocks.tokens, (std::vector<int64_t>{4, 4, 7}));
  EXPECT_DOUBLE_EQ(mean_of(blocks), mean_of(five));
  EXPECT_EQ(in_blocks({}, 4).size(), 0U);
}

TEST(ClusterMean, OnlyTheSameClustersHaveADifference) { EXPECT_FALSE(difference({{1, 2}, {8, 8}}, {{1, 2}, {8, 7}})); }

}  // namespace
}  // namespace evenkeel::analysis
