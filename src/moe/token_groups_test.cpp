#include "moe/token_groups.h"

#include <gtest/gtest.h>

namespace evenkeel::moe {
namespace {

TEST(TokenGroups, AreConsecutiveAndTheLastMayBeShorter) {
  const auto groups = token_groups(10, 4);
  EXPECT_EQ(groups.count(), 3);
  EXPECT_EQ(groups.begin(1), 4);
  EXPECT_EQ(groups.end(1), 8);
  EXPECT_EQ(groups.end(2), 10);
}

TEST(TokenGroups, AreOneWithoutASizeOrWithALargerOne) {
  for (const int64_t size : {0, 10, 4096}) {
    const auto groups = token_groups(10, size);
    EXPECT_EQ(groups.count(), 1) << size;
    EXPECT_EQ(groups.end(0), 10) << size;
  }
  EXPECT_EQ(token_groups(0, 4).count(), 1);  // empty
  EXPECT_EQ(token_groups(0, 4).end(0), 0);
}

}  // namespace
}  // namespace evenkeel::moe
