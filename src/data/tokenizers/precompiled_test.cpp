#include "data/tokenizers/precompiled.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

// A double array of one key, "a", with the value 0, and one text for it.
Precompiled map_of_one() {
  std::vector<uint32_t> units(1024, 0);
  units[0] = 256U << 10;                                         // the children of the root are at 256 ^ byte
  units[256 ^ 'a'] = ((256 ^ 'a' ^ 512) << 10) | 1U << 8 | 'a';  // its leaf is at 512
  units[512] = 1U << 31;
  return {units, std::string("XY\0", 3)};
}

std::string mapped(std::string text) {
  EXPECT_FALSE(map_of_one().apply(text));
  return text;
}

TEST(Precompiled, MapsGraphemesThenCharacters) {
  EXPECT_EQ(mapped("bab"), "bXYb");
  EXPECT_EQ(mapped("a\u0301b"), "XYb");                              // a short cluster by its shortest beginning
  EXPECT_EQ(mapped("a\u0301\u0323\u0301"), "XY\u0301\u0323\u0301");  // a long one by its characters
  EXPECT_EQ(mapped("a\u0897"), "XY");                                // a mark since Unicode 16
  EXPECT_EQ(mapped(""), "");
}

// Which of several is the longest: sentencepiece_normalizer_test.cpp.
TEST(Precompiled, FindsTheRuleThatATextBeginsWith) {
  const Precompiled map = map_of_one();
  const auto rule = map.longest_rule("ab");
  ASSERT_TRUE(rule);
  EXPECT_EQ(rule->bytes, 1U);
  EXPECT_EQ(rule->text, "XY");
  EXPECT_FALSE(map.longest_rule("ba"));
  EXPECT_FALSE(map.longest_rule(""));
  EXPECT_FALSE(map.longest_rule(std::string_view("\0a", 2)));
}

TEST(Precompiled, RefusesWhatIsNoMap) {
  for (const char* text : {"", "!", "AAA", "/////w=="})
    EXPECT_THAT(message_of<DataError>([&] { read_precompiled(Json(text)); }), HasSubstr("got ")) << text;
  std::string text = "a";
  read_precompiled(Json("AAAAAA==")).apply(text);  // an empty trie changes nothing
  EXPECT_EQ(text, "a");
}

}  // namespace
}  // namespace evenkeel::data
