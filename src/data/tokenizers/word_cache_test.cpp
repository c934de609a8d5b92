#include "data/tokenizers/word_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

TEST(WordCache, KeepsWordsUntilAnotherTakesTheirPlace) {
  WordCache cache;
  std::vector<int32_t> ids = {9};
  EXPECT_FALSE(cache.append("ab", hash_of_word("ab"), ids));
  EXPECT_FALSE(cache.append("", 0, ids));  // an empty slot is no word
  cache.keep("ab", 7, std::vector<int32_t>{1, 2});
  EXPECT_TRUE(cache.append("ab", 7, ids));
  EXPECT_THAT(ids, testing::ElementsAre(9, 1, 2));
  EXPECT_FALSE(cache.append("ba", 7, ids));  // of the same hash
  cache.keep("ba", 7, std::vector<int32_t>{3});
  EXPECT_FALSE(cache.append("ab", 7, ids));
  cache.keep("long", 8, std::vector<int32_t>(WordCache::kMostIds + 1));
  EXPECT_FALSE(cache.append("long", 8, ids));
  EXPECT_FALSE(WordCache::keeps(std::string(WordCache::kMostBytes + 1, 'a')));
}

}  // namespace
}  // namespace evenkeel::data
