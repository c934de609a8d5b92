#include "data/tokenizers/regex_classes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"
#include "data/tokenizers/code_points.h"
#include "data/tokenizers/regex.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

// The ASCII characters, and some others, that a class matches.
std::string members(const std::string& pattern) {
  const Regex regex(pattern);
  RegexWorkspace workspace;
  std::string out;
  for (char32_t c = 1; c < 0x180; ++c) {
    std::string text;
    append_utf8(text, c);
    if (RegexMatches(regex, text, workspace).next()) out += text;
  }
  return out;
}

TEST(RegexClasses, ReadsSets) {
  EXPECT_EQ(members("[a-c]"), "abc");
  EXPECT_EQ(members("[]a]"), "]a");
  EXPECT_EQ(members("[a\\-c]"), "-ac");
  EXPECT_EQ(members("[a-]"), "-a");
  EXPECT_EQ(members("[a-cx[0-2]]"), "012abcx");  // a union
  EXPECT_EQ(members("[a-e&&[^bd]]"), "ace");     // an intersection
  EXPECT_EQ(members("[^\\P{Nd}0-7]"), "89");
  EXPECT_EQ(members("[[:xdigit:]&&\\D]"), "ABCDEFabcdef");
  EXPECT_EQ(members("[^[^a]]"), "a");
  EXPECT_EQ(members("\\d"), "0123456789");
  EXPECT_EQ(members("[\\x{61}\\u0062\\n]"), "\nab");
}

// What Oniguruma counts among them, by a look at every code point below U+0180.
TEST(RegexClasses, KnowsWhiteSpaceAndWords) {
  EXPECT_EQ(members("\\s"), "\t\n\v\f\r \u0085\u00a0");
  EXPECT_EQ(members("[^\\W\\p{L}]"), "0123456789_\u00b2\u00b3\u00b9\u00bc\u00bd\u00be");
}

TEST(RegexClasses, RefusesWhatItLacks) {
  const auto refused = [](const std::string& pattern) { return message_of<DataError>([&] { Regex regex(pattern); }); };
  EXPECT_THAT(refused("\\p{Klingon}"),
              HasSubstr("got \"\\\\p{Klingon}\" at byte 1, which evenkeel lacks; need a general"));
  EXPECT_THAT(refused("[a"), HasSubstr("got a class without an end"));
  EXPECT_THAT(refused("[c-a]"), HasSubstr("got a range that ends before it begins"));
  EXPECT_THAT(refused("[a-\\d]"), HasSubstr("need a range between characters"));
  EXPECT_THAT(refused("[[:upper:]]"), HasSubstr("need [:digit:]"));
  EXPECT_THAT(refused(std::string(100, '[')), HasSubstr("need classes nested less deep"));
}

}  // namespace
}  // namespace evenkeel::data
