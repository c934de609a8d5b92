#include "data/tokenizers/regex_syntax.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

std::string plain(const std::string& pattern) { return pcre2_pattern(pattern).plain; }

// What Oniguruma's Ruby syntax says in other words than PCRE2.
TEST(RegexSyntax, SaysInPcre2WhatOnigurumaSays) {
  EXPECT_EQ(plain("ab|c"), "ab|c");
  EXPECT_EQ(plain("a++"), "a++");
  EXPECT_EQ(plain("a{2,3}+"), "(?:a{2,3})+");  // a repeat of it, not a possessive one
  EXPECT_EQ(plain("a{,3}"), "a{0,3}");
  EXPECT_EQ(plain("a{2}?"), "(?:a{2})?");
  EXPECT_EQ(plain("a**"), "(?:a*)*");
  EXPECT_EQ(plain("a{x"), "a\\{x");
  EXPECT_EQ(plain("a(?i)b|c"), "a(?i:b|c)");  // to the end of the group, its alternatives among it
  EXPECT_EQ(plain("(?m:.)"), "(?s:.)");
  EXPECT_EQ(plain("(?<name>a)\\1"), "(a)(?:\\g{1})");
  EXPECT_EQ(plain("\\u00e9\\x{1F600}"), "\\x{e9}\\x{1f600}");
  EXPECT_EQ(plain("\\p{Han}"), "[\\p{sc:Han}]");  // the script, not its extensions
  EXPECT_EQ(plain("\\h"), "[0-9a-fA-F]");
}

TEST(RegexSyntax, KeepsNewerCodePointsApart) {
  const Pcre2Pattern pattern = pcre2_pattern("\\p{Lt}\\p{Nd}");
  EXPECT_EQ(pattern.plain, "[\\p{Lt}][\\p{Nd}]");
  EXPECT_THAT(pattern.full, HasSubstr("[\\p{Nd}\\x{10d40}-\\x{10d49}"));
}

TEST(RegexSyntax, QuotesText) { EXPECT_EQ(pcre2_literal("a.\n\u00e9"), "a\\x{2e}\\x{a}\\x{e9}"); }

TEST(RegexSyntax, RefusesWhatItLacks) {
  const auto refused = [](const std::string& pattern) {
    return message_of<DataError>([&] { pcre2_pattern(pattern); });
  };
  for (const char* pattern : {"\\G", "\\k<a>", "\\X", "\\R", "(?~a)", "(?x)a", "(*FAIL)", "(?(1)a)"})
    EXPECT_THAT(refused(pattern), HasSubstr("which evenkeel lacks; need")) << pattern;
  EXPECT_THAT(refused("(a"), HasSubstr("got 1 groups without an end; need ')'"));
  EXPECT_THAT(refused("a)"), HasSubstr("got ')' at byte 2 without a group"));
  EXPECT_THAT(refused("*a"), HasSubstr("with nothing to repeat"));
  EXPECT_THAT(refused("a\\"), HasSubstr("got a backslash at the end"));
  EXPECT_THAT(refused(std::string(200, '(')), HasSubstr("got groups nested deeper than"));
}

}  // namespace
}  // namespace evenkeel::data
