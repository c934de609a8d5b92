#include "data/tokenizers/sentencepiece_bpe.h"

#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;

SentencePieceModel model_of(std::vector<SentencePiece> pieces) {
  SentencePieceModel out;
  out.type = ModelType::bpe;
  out.pieces = std::move(pieces);
  out.pieces.insert(out.pieces.begin(), {"<unk>", 0, PieceType::unknown});
  out.unknown = 0;
  return out;
}

std::vector<int32_t> encoded(const SentencePieceModel& model, std::string_view text) {
  std::vector<int32_t> ids, again;
  const SentencePieceBpe bpe(model);
  bpe.encode(text, ids);
  bpe.encode(text, again);  // out of the cache
  EXPECT_EQ(again, ids);
  return ids;
}

TEST(SentencePieceBpe, MergesTheBestScoreFirstAndEqualOnesFromTheLeft) {
  const auto model = model_of({{"a", -9}, {"b", -9}, {"c", -9}, {"ab", -2}, {"bc", -1}, {"ca", -1}, {"abc", -3}});
  EXPECT_THAT(encoded(model, "abc"), ElementsAre(7));      // b c, then a bc
  EXPECT_THAT(encoded(model, "abca"), ElementsAre(7, 1));  // b c is left of c a, which scores the same
  EXPECT_THAT(encoded(model, "cabc"), ElementsAre(6, 5));  // c a, b c
  EXPECT_THAT(encoded(model, "cab"), ElementsAre(6, 2));
  EXPECT_TRUE(encoded(model, "").empty());
}

// The scores that the library gives the first two pieces, -0 and -1; and a 0, which is above -0.
TEST(SentencePieceBpe, OrdersZeros) {
  EXPECT_THAT(encoded(model_of({{"a", -9}, {"b", -9}, {"ab", -1}, {"ba", -0.0F}}), "aba"), ElementsAre(1, 4));
  EXPECT_THAT(encoded(model_of({{"a", -9}, {"b", -9}, {"ab", -0.0F}, {"ba", 0}}), "aba"), ElementsAre(1, 4));
}

TEST(SentencePieceBpe, CutsAtUserDefinedPieces) {
  const auto model = model_of({{"a", -9}, {"b", -9}, {"ab", -1}, {"b\u2581", -1, PieceType::user_defined}, {"aa", -2}});
  EXPECT_THAT(encoded(model, "ab\u2581ab"), ElementsAre(1, 4, 3));
  EXPECT_THAT(encoded(model, "aab\u2581aa"), ElementsAre(5, 4, 5));
}

// As in the library: neighbours are merged where their text is a piece, whether or not they are pieces themselves.
TEST(SentencePieceBpe, MergesCharactersThatAreNoPieces) {
  auto model = model_of({{"xy", -1}, {"a", -2}, {"xya", -3}, {"\u00e9x", -4}});
  EXPECT_THAT(encoded(model, "xyaxy"), ElementsAre(3, 1));
  EXPECT_THAT(encoded(model, "xaxxq\u00e9"), ElementsAre(0, 2, 0));  // x, then x x q é
  EXPECT_THAT(encoded(model, "\u00e9xy"), ElementsAre(0, 1));
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    model.pieces.push_back({name, 0, PieceType::byte});
  }
  model.falls_back_to_bytes = true;
  EXPECT_THAT(encoded(model, "xa\u00e9q"), ElementsAre(5 + 'x', 2, 5 + 0xC3, 5 + 0xA9, 5 + 'q'));
}

TEST(SentencePieceBpe, LeavesControlPiecesOut) {
  const auto model = model_of({{"a", -1}, {"b", -1}, {"ab", 0, PieceType::control}, {"c", 0, PieceType::control}});
  EXPECT_THAT(encoded(model, "abc"), ElementsAre(1, 2, 0));
}

// Words of many bytes and neighbours that no piece has: what is cut and what is not gives the same.
TEST(SentencePieceBpe, IsTheSameForLongWords) {
  const auto model = model_of({{"a", -9}, {"aa", -1}, {"aaaa", -2}, {".", -3}});
  auto ids = encoded(model, std::string(2'000'001, 'a') + "." + std::string(7, 'a'));
  ASSERT_EQ(ids.size(), 500'000U + 1 + 1 + 3);
  EXPECT_THAT(std::vector(ids.end() - 6, ids.end()), ElementsAre(3, 1, 4, 3, 2, 1));
}

}  // namespace
}  // namespace evenkeel::data
