#include "data/tokenizers/normal_forms.h"

#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

std::string in_form(std::string text, NormalForm form) {
  normalize(text, form);
  return text;
}

// Rows of NormalizationTest.txt of the Unicode Character Database: a text and its NFC, NFD, NFKC and NFKD.
TEST(NormalForms, AreThoseOfTheUnicodeDatabase) {
  const char* const rows[][5] = {
      {"\u1e0a", "\u1e0a", "D\u0307", "\u1e0a", "D\u0307"},
      {"\u1e0a\u0323", "\u1e0c\u0307", "D\u0323\u0307", "\u1e0c\u0307", "D\u0323\u0307"},
      {"D\u0307\u0323", "\u1e0c\u0307", "D\u0323\u0307", "\u1e0c\u0307", "D\u0323\u0307"},
      {"\u212b", "\u00c5", "A\u030a", "\u00c5", "A\u030a"},
      {"\ufb01", "\ufb01", "\ufb01", "fi", "fi"},
      {"\uac01", "\uac01", "\u1100\u1161\u11a8", "\uac01", "\u1100\u1161\u11a8"},
      {"\u1100\u1161\u11a8", "\uac01", "\u1100\u1161\u11a8", "\uac01", "\u1100\u1161\u11a8"},
      {"\u0958", "\u0915\u093c", "\u0915\u093c", "\u0915\u093c", "\u0915\u093c"},  // never composed
      {"\u1e9b\u0323", "\u1e9b\u0323", "\u017f\u0323\u0307", "\u1e69", "s\u0323\u0307"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(in_form(row[0], NormalForm::nfc), row[1]);
    EXPECT_EQ(in_form(row[0], NormalForm::nfd), row[2]);
    EXPECT_EQ(in_form(row[0], NormalForm::nfkc), row[3]);
    EXPECT_EQ(in_form(row[0], NormalForm::nfkd), row[4]);
  }
}

TEST(NormalForms, LeaveTheRestOfATextAlone) {
  EXPECT_EQ(in_form("ab \u4e00e\u0301x \u1e0a\u0323.", NormalForm::nfc), "ab \u4e00\u00e9x \u1e0c\u0307.");
  EXPECT_EQ(in_form("\u0301a", NormalForm::nfc), "\u0301a");
  EXPECT_EQ(in_form("", NormalForm::nfd), "");
  EXPECT_EQ(in_form(std::string("a\0e\u0301", 5), NormalForm::nfc), std::string("a\0\u00e9", 4));
}

TEST(NormalForms, SortLongRunsOfMarks) {
  std::string marks, sorted;
  for (int i = 0; i < 200'000; ++i) marks += "\u0301\u0323";
  for (int i = 0; i < 200'000; ++i) sorted += "\u0323";
  for (int i = 0; i < 200'000; ++i) sorted += "\u0301";
  EXPECT_EQ(in_form("q" + marks, NormalForm::nfd), "q" + sorted);
  EXPECT_EQ(in_form("a" + marks, NormalForm::nfc), "\u1ea1" + sorted.substr(2));
  EXPECT_EQ(in_form("a" + marks, NormalForm::nfkd), "a" + sorted);
}

// Younger than Unicode 9: the library has no data for them.
TEST(NormalForms, LeaveYoungerCodePointsAlone) {
  EXPECT_EQ(in_form("\u32ff", NormalForm::nfkc), "\u32ff");
  EXPECT_EQ(in_form("\U00011935\U00011930", NormalForm::nfc), "\U00011935\U00011930");
  EXPECT_EQ(in_form("\U00011938", NormalForm::nfd), "\U00011938");
  EXPECT_EQ(in_form("a\U0001e08f\u0323", NormalForm::nfd), "a\U0001e08f\u0323");
}

}  // namespace
}  // namespace evenkeel::data
