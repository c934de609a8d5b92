#include "data/tokenizers/code_points.h"

#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

TEST(CodePoints, AreReadAndWritten) {
  for (const char32_t code_point : {0x0U, 0x7FU, 0x80U, 0x7FFU, 0x800U, 0xFFFDU, 0x10000U, 0x10FFFFU}) {
    std::string text = "a";
    append_utf8(text, code_point);
    EXPECT_EQ(first_code_point(std::string_view(text).substr(1)), code_point);
    EXPECT_EQ(utf8_bytes(text[1]), text.size() - 1);
    EXPECT_EQ(last_character_begin(text), 1U);
  }
}

TEST(CodePoints, HaveTheClassesOfTheirUnicode) {
  EXPECT_TRUE(is_white_space(0x3000) && is_white_space(0x85) && !is_white_space(0x180E) && !is_white_space(0x200B));
  EXPECT_TRUE(is_numeric('7') && is_numeric(0xBD) && is_numeric(0x16FF4) && !is_numeric('a'));
  EXPECT_TRUE(is_punctuation('$') && is_punctuation(0x3002) && !is_punctuation(0xA2));
  EXPECT_TRUE(is_punctuation(0x166D) && !is_punctuation(0x2E43));  // of Unicode 8, and younger than it
  EXPECT_TRUE(is_word_character(0x200D) && is_word_character(0x24B6) && is_word_character(0x301) &&
              !is_word_character(0xB2) && !is_word_character('-'));
  EXPECT_TRUE(is_word_character(0x1C89));  // a letter since Unicode 16
}

TEST(CodePoints, AreLowered) {
  const auto lowered = [](char32_t code_point) {
    std::string out;
    append_lowercase(out, code_point);
    return out;
  };
  EXPECT_EQ(lowered('A'), "a");
  EXPECT_EQ(lowered(0x3A3), "\u03c3");
  EXPECT_EQ(lowered(0x130), "i\u0307");
  EXPECT_EQ(lowered(0xA7DC), "\u019b");
  EXPECT_EQ(lowered(0x10D50), "\U00010d70");
}

TEST(CodePoints, AreKnownAsNewer) {
  EXPECT_EQ(newer_code_point(0x1C89)->category, std::string("Lu"));
  EXPECT_EQ(newer_code_point('a'), nullptr);
  EXPECT_TRUE(has_newer_code_point("abc\u00e9\u4e00\U0001ccf0"));
  EXPECT_FALSE(has_newer_code_point("abc\u00e9\u4e00\U0001f600"));
}

}  // namespace
}  // namespace evenkeel::data
