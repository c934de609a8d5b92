#include "data/tokenizers/flat_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

TEST(FlatTable, FindsWhatWasPutIn) {
  FlatTable<int> table;
  for (uint64_t key = 0; key < 10'000; ++key) table.insert(key << 20, static_cast<int>(key));
  table.insert(0, -1);
  EXPECT_EQ(table.size(), 10'000U);
  EXPECT_EQ(*table.find(0), -1);
  for (uint64_t key = 1; key < 10'000; ++key) ASSERT_EQ(*table.find(key << 20), static_cast<int>(key));
  EXPECT_EQ(table.find(1), nullptr);
}

}  // namespace
}  // namespace evenkeel::data
