#include "data/tokenizers/piece_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

PieceList list_of(PieceForm form, const std::vector<std::string>& ordinary) {
  PieceList out(form);
  out.add("<s>", false);
  for (const auto& text : ordinary) out.add(text, true);
  return out;
}

TEST(PieceList, JoinsOrdinaryPiecesOnce) {
  PieceList pieces = list_of(PieceForm::characters, {"a", "b", "ba"});
  EXPECT_EQ(pieces.join(1, 2), 4);
  EXPECT_EQ(pieces.text(4), "ab");
  EXPECT_TRUE(pieces.is_ordinary(4));
  EXPECT_EQ(pieces.join(1, 2), std::nullopt);  // there by now
  EXPECT_EQ(pieces.join(2, 1), std::nullopt);  // there from the start
  EXPECT_EQ(pieces.join(0, 1), std::nullopt);  // no ordinary piece
  EXPECT_EQ(pieces.join(1, 0), std::nullopt);
  EXPECT_EQ(pieces.size(), 5);
}

TEST(PieceList, KindsOfCharactersMeetWhereTheyMeetInAnOldPiece) {
  // Letters meet letters and U+2581; a digit meets none.
  PieceList apart = list_of(PieceForm::characters, {"1", "2", "a", "ab", "\u2581a", ".", "\u0436", "\u2581"});
  enum Id : int32_t { one = 1, two, a, ab, space_a, dot, zhe, space };
  EXPECT_EQ(apart.join(one, two), std::nullopt);
  EXPECT_EQ(apart.join(a, one), std::nullopt);
  EXPECT_EQ(apart.join(space, one), std::nullopt);
  EXPECT_EQ(apart.join(a, dot), std::nullopt);
  EXPECT_EQ(apart.join(dot, dot), std::nullopt);
  EXPECT_NE(apart.join(zhe, a), std::nullopt);  // letters of any script
  EXPECT_NE(apart.join(space, zhe), std::nullopt);
  PieceList together = list_of(PieceForm::characters, {"1", "2", "34"});
  EXPECT_NE(together.join(1, 2), std::nullopt);
}

TEST(PieceList, AddedCharactersAreOrdinary) {
  PieceList pieces = list_of(PieceForm::characters, {"ab"});
  EXPECT_FALSE(pieces.has("c"));
  EXPECT_EQ(pieces.add_new("c"), 2);
  EXPECT_TRUE(pieces.has("c"));
  EXPECT_EQ(pieces.join(2, 1), 3);
}

TEST(PieceList, LimitsTheLength) {
  const std::string eight(8, 'a'), nine(9, 'b'), long_one(40, 'c');
  PieceList pieces = list_of(PieceForm::characters, {eight, nine});
  EXPECT_NE(pieces.join(1, 1), std::nullopt);
  EXPECT_EQ(pieces.join(1, 2), std::nullopt);  // 17
  PieceList longer = list_of(PieceForm::characters, {eight, nine, long_one});
  EXPECT_NE(longer.join(1, 2), std::nullopt);
  EXPECT_EQ(longer.join(1, 3), std::nullopt);
  PieceList bytes = list_of(PieceForm::bytes, {long_one, std::string(24, '1'), std::string(25, '.')});
  EXPECT_NE(bytes.join(1, 2), std::nullopt);  // 64, and no matter of which kind
  EXPECT_EQ(bytes.join(1, 3), std::nullopt);
}

}  // namespace
}  // namespace evenkeel::data
