#include "data/tokenizers/word_counts.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

using Ids = std::vector<int32_t>;

TEST(WordCounts, CountsWordsOfTwoIdsAndMore) {
  WordCounts counts;
  for (const Ids& ids : {Ids{3, 4}, Ids{1, 2, 3}, Ids{5}, Ids{}, Ids{3, 4}}) counts.add(ids);
  const auto words = counts.take();
  ASSERT_EQ(words.size(), 2U);
  EXPECT_EQ(words[0].ids, (Ids{1, 2, 3}));
  EXPECT_EQ(words[0].count, 1);
  EXPECT_EQ(words[1].ids, (Ids{3, 4}));
  EXPECT_EQ(words[1].count, 2);
  EXPECT_TRUE(counts.take().empty());
}

TEST(WordCounts, CutsLongWords) {
  Ids ids(2 * WordCounts::kMostWordIds + 1);
  std::iota(ids.begin(), ids.end(), 0);
  WordCounts counts;
  counts.add(ids);
  const auto words = counts.take();  // the last id alone has no pair
  ASSERT_EQ(words.size(), 2U);
  EXPECT_EQ(words[0].ids.size(), WordCounts::kMostWordIds);
  EXPECT_EQ(words[1].ids.back(), 2 * static_cast<int32_t>(WordCounts::kMostWordIds) - 1);
}

TEST(WordCounts, ForgetsTheRarestWhereThereAreTooMany) {
  WordCounts counts(8);
  for (int i = 0; i < 3; ++i) counts.add(Ids{1, 2});
  for (int i = 0; i < 2; ++i) counts.add(Ids{3, 4});
  counts.add(Ids{5, 6});
  counts.add(Ids{7, 8});
  EXPECT_EQ(counts.n_forgotten(), 0);
  counts.add(Ids{9, 10});  // the two that stood once go: half is left
  EXPECT_EQ(counts.n_forgotten(), 2);
  const auto words = counts.take();
  ASSERT_EQ(words.size(), 3U);
  EXPECT_EQ(words[0].count, 3);
  EXPECT_EQ(words[1].count, 2);
  EXPECT_EQ(words[2].ids, (Ids{9, 10}));
}

}  // namespace
}  // namespace evenkeel::data
