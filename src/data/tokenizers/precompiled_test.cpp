#include "data/tokenizers/precompiled.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

// A double array of one key, "a", with the value 0, and one text for it.
std::string mapped(std::string text) {
  std::vector<uint32_t> units(1024, 0);
  units[0] = 256U << 10;                                         // the children of the root are at 256 ^ byte
  units[256 ^ 'a'] = ((256 ^ 'a' ^ 512) << 10) | 1U << 8 | 'a';  // its leaf is at 512
  units[512] = 1U << 31;
  EXPECT_FALSE(Precompiled(units, std::string("XY\0", 3)).apply(text));
  return text;
}

TEST(Precompiled, MapsGraphemesThenCharacters) {
  EXPECT_EQ(mapped("bab"), "bXYb");
  EXPECT_EQ(mapped("a\u0301b"), "XYb");                              // a short cluster by its shortest beginning
  EXPECT_EQ(mapped("a\u0301\u0323\u0301"), "XY\u0301\u0323\u0301");  // a long one by its characters
  EXPECT_EQ(mapped("a\u0897"), "XY");                                // a mark since Unicode 16
  EXPECT_EQ(mapped(""), "");
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
