#include "analysis/cluster_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::analysis {
namespace {

using ::testing::ElementsAre;

TEST(ClusterOrder, JoinsTheMostSimilarFirst) {
  // 0 and 3 are closest, then 1 and 2; the two pairs meet at 3 and 2, their most similar ends.
  const std::vector<double> similarity = {0,  .1, .2, .9,  //
                                          .1, 0,  .8, .1,  //
                                          .2, .8, 0,  .3,  //
                                          .9, .1, .3, 0};
  EXPECT_THAT(cluster_order(similarity, 4), ElementsAre(0, 3, 2, 1));
}

TEST(ClusterOrder, UsesTheMeanOfAClusterNotItsNearestMember) {
  // 2 is very close to 1 (.6) but far from 0; 3 is fairly close (.45) to 0 and 1 alike. The mean prefers 3 for {0, 1}.
  const std::vector<double> similarity = {0,   .9,  .1, .45,  //
                                          .9,  0,   .6, .45,  //
                                          .1,  .6,  0,  .0,   //
                                          .45, .45, .0, 0};
  EXPECT_THAT(cluster_order(similarity, 4),
              ElementsAre(3, 1, 0, 2));  // {0, 1} with 3 at its end, turned so that 0 meets 2
}

TEST(ClusterOrder, KeepsTheOrderOfEquals) {
  EXPECT_THAT(cluster_order(std::vector<double>(9, 0.5), 3), ElementsAre(0, 1, 2));
  EXPECT_THAT(cluster_order(std::vector<double>(1, 1.0), 1), ElementsAre(0));
  EXPECT_TRUE(cluster_order({}, 0).empty());
}

}  // namespace
}  // namespace evenkeel::analysis
