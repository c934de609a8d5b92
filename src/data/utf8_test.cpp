#include "data/utf8.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "data/test_support.h"

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

TEST(RequireUtf8, NamesTheByteFromOne) {
  EXPECT_NO_THROW(require_utf8("a\xc3\xa9"));
  EXPECT_THAT(message_of<DataError>([] { require_utf8("ab\xff"); }),
              testing::HasSubstr(" at byte 3, which is no UTF-8; need UTF-8 text"));
}

TEST(WithInvalidMended, GivesEachPlaceItsStandIn) {
  std::vector<std::string> rests;
  const auto mended = with_invalid_mended("a\xff\xfe\xc3\xa9\xe2\x82", [&](std::string_view rest, std::string& out) {
    rests.emplace_back(rest);
    out += "?";
    return rest[0] == '\xff' ? size_t{2} : size_t{1};
  });
  EXPECT_EQ(mended, "a?\xc3\xa9??");
  EXPECT_EQ(rests, (std::vector<std::string>{"\xff\xfe\xc3\xa9\xe2\x82", "\xe2\x82", "\x82"}));
  EXPECT_EQ(with_invalid_mended("", [](std::string_view, std::string&) { return size_t{1}; }), "");
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
