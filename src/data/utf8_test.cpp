#include "data/utf8.h"

#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

TEST(ValidUtf8Bytes, TakesTheFirstAndLastCharacterOfEachLength) {
  for (const std::string text :
       {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
        "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "plain ascii of some length"})
    EXPECT_EQ(valid_utf8_bytes(text), text.size()) << text;
  EXPECT_EQ(valid_utf8_bytes(std::string("a\0b", 3)), 3U);
}

TEST(ValidUtf8Bytes, StopsAtWhatIsNoCharacter) {
  for (const std::string bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc3("}) {
    EXPECT_EQ(valid_utf8_bytes(bad), 0U) << bad;
    EXPECT_EQ(valid_utf8_bytes("twelve ascii" + bad), 12U) << bad;
  }
}

TEST(Utf8Cut, NeverSplitsACharacter) {
  const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";  // 1 + 2 + 3 + 4 bytes
  const size_t cuts[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
  for (size_t limit = 1; limit < std::size(cuts); ++limit) EXPECT_EQ(utf8_cut(text, limit), cuts[limit]) << limit;
}

TEST(QuotedExcerpt, IsShortAndOneLine) {
  EXPECT_EQ(quoted_excerpt("a\nb"), R"("a\nb")");
  EXPECT_EQ(quoted_excerpt(std::string(41, 'x')), "\"" + std::string(40, 'x') + "\"...");
}

}  // namespace
}  // namespace evenkeel::data
