#include "data/tokenizers/piece_trie.h"

#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/rng.h"

namespace evenkeel::data {
namespace {

using Found = std::vector<std::pair<size_t, int32_t>>;

Found found_in(const PieceTrie& trie, std::string_view text) {
  Found out;
  trie.each_prefix(text, [&](size_t size, int32_t id) { out.emplace_back(size, id); });
  return out;
}

TEST(PieceTrie, FindsEachBeginningFromTheShortest) {
  const PieceTrie trie({{"abc", 2}, {"a", 0}, {"b", 7}, {"ab", 1}, {std::string_view("a\0", 2), 4}});
  EXPECT_EQ(found_in(trie, "abcd"), (Found{{1, 0}, {2, 1}, {3, 2}}));
  EXPECT_EQ(found_in(trie, std::string_view("a\0b", 3)), (Found{{1, 0}, {2, 4}}));
  EXPECT_EQ(found_in(trie, "ba"), (Found{{1, 7}}));
  EXPECT_TRUE(found_in(trie, "cab").empty());
  EXPECT_TRUE(found_in(trie, "").empty());
  EXPECT_TRUE(found_in(PieceTrie(), "a").empty());
}

TEST(PieceTrie, TakesTheGreatestIdOfEqualTexts) {
  EXPECT_EQ(found_in(PieceTrie({{"a", 3}, {"a", 5}, {"a", 1}}), "a"), (Found{{1, 5}}));
}

// Against a map, with texts of all bytes of which many share beginnings.
TEST(PieceTrie, AgreesWithAMap) {
  RngStream rng(1, "trie");
  std::map<std::string, int32_t> all;
  const auto made = [&](uint64_t most_bytes) {
    std::string text;
    const uint64_t n_kinds = rng.below(2) == 0 ? 3 : 256;
    for (uint64_t n = rng.below(most_bytes) + 1; n > 0; --n) text += static_cast<char>(rng.below(n_kinds));
    return text;
  };
  for (int32_t id = 0; id < 20'000; ++id) all[made(9)] = id;
  const PieceTrie trie({all.begin(), all.end()});
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = made(12);
    Found need;
    for (size_t size = 1; size <= text.size(); ++size)
      if (const auto at = all.find(text.substr(0, size)); at != all.end()) need.emplace_back(size, at->second);
    ASSERT_EQ(found_in(trie, text), need);
  }
}

}  // namespace
}  // namespace evenkeel::data
