#include "data/tokenizers/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> matches(const Regex& regex, const std::string& text) {
  RegexWorkspace workspace;
  RegexMatches found(regex, text, workspace);
  std::vector<std::string> out;
  while (const auto match = found.next()) out.push_back(text.substr(match->begin, match->end - match->begin));
  return out;
}
std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  return matches(Regex(pattern), text);
}

TEST(Regex, CutsEnglishAsGpt2) {
  EXPECT_THAT(matches(R"('s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", "I don't  know 42!\n"),
              ElementsAre("I", " don", "'t", " ", " know", " 42", "!", "\n"));
}

TEST(Regex, FindsNoEmptyMatchBehindAnother) {
  EXPECT_THAT(matches("x*", "axxb"), ElementsAre("", "xx", ""));
  EXPECT_THAT(matches("x*", ""), ElementsAre(""));
}

TEST(Regex, TakesTextByItself) {
  EXPECT_THAT(matches(Regex::of_text("a.b"), "axb a.b"), ElementsAre("a.b"));
  EXPECT_THAT(matches(Regex::of_text("\u2581"), " \u2581"), ElementsAre("\u2581"));
}

// Code points that PCRE2's Unicode 14 has none of: a letter of Unicode 16, and a digit.
TEST(Regex, KnowsTheLettersOfUnicode16) {
  EXPECT_THAT(matches(R"(\p{L}+)", "a\u1c89b"), ElementsAre("a\u1c89b"));
  EXPECT_THAT(matches(R"(\P{L})", "\u1c89."), ElementsAre("."));
  EXPECT_THAT(matches(R"([^\p{N}]+)", "a\U0001ccf0b"), ElementsAre("a", "b"));
}

TEST(Regex, StopsAPatternThatTriesEveryWay) {
  const std::string text = std::string(100'000, 'a') + "!";
  EXPECT_THAT(message_of<DataError>([&] { matches("(a+)+$", text); }), HasSubstr("regex \"(a+)+$\": got '"));
}

TEST(Regex, RefusesWhatItLacks) {
  EXPECT_THAT(message_of<DataError>([] { Regex("(?<=a+)b"); }), HasSubstr("need a pattern that PCRE2 compiles"));
  EXPECT_THAT(message_of<DataError>([] { Regex(std::string(40'000, 'a')); }),
              HasSubstr("got 40000 bytes; need at most"));
}

}  // namespace
}  // namespace evenkeel::data
