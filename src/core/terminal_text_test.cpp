#include "core/terminal_text.h"

#include <gtest/gtest.h>

namespace evenkeel {
namespace {

TEST(CountColumns, CountsNeitherBytesNorCharacters) {
  EXPECT_EQ(count_columns(""), 0);
  EXPECT_EQ(count_columns("loss 4.3"), 8);
  EXPECT_EQ(count_columns("▁▂█"), 3);               // three bytes each
  EXPECT_EQ(count_columns("größe"), 5);             // two bytes for the umlaut and for the sharp s
  EXPECT_EQ(count_columns("日本"), 4);              // wide
  EXPECT_EQ(count_columns("e\xCC\x81t"), 2);        // a combining accent
  EXPECT_EQ(count_columns("\xF0\x9F\x98\x80"), 2);  // an emoji, four bytes
}

TEST(CountColumns, TakesBytesThatAreNoUtf8AsOneEach) {
  EXPECT_EQ(count_columns("\xFF\x80z"), 3);
  EXPECT_EQ(count_columns("a\xE2\x96"), 3);  // cut within a character
}

TEST(FitFields, DropsWholeFieldsFromTheRight) {
  const std::string text = "german 2/5  loss 2.510  MRI 0.75";
  EXPECT_EQ(fit_fields(text, 100), text);
  EXPECT_EQ(fit_fields(text, 32), text);
  EXPECT_EQ(fit_fields(text, 31), "german 2/5  loss 2.510");
  EXPECT_EQ(fit_fields(text, 22), "german 2/5  loss 2.510");
  EXPECT_EQ(fit_fields(text, 21), "german 2/5");
}

TEST(FitFields, CutsAFirstFieldThatIsTooWideBetweenCharacters) {
  EXPECT_EQ(fit_fields("german 2/5  loss", 3), "ger");
  EXPECT_EQ(fit_fields("▁▂▃▄", 2), "▁▂");
  EXPECT_EQ(fit_fields("日本語", 5), "日本");  // the third would need a sixth column
  EXPECT_EQ(fit_fields("abc", 0), "");
}

TEST(Printable, LetsNothingThroughThatATerminalObeys) {
  EXPECT_EQ(printable("größe 漢字 🙂"), "größe 漢字 🙂");
  EXPECT_EQ(printable("a\nb\tc\r\x1b[31m\x7f"), "a\\nb\\tc\\x0d\\x1b[31m\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "\\xc2\\x9b2J");  // U+009B, which some terminals take for ESC [
  EXPECT_EQ(printable("\xff\x9b"), "\\xff\\x9b");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\xc2\xa0"), "\xc2\xa0");  // a space that does not break
}

}  // namespace
}  // namespace evenkeel
