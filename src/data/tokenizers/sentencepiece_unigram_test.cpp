#include "data/tokenizers/sentencepiece_unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/test_support.h"
#include "data/tokenizers/code_points.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;

SentencePieceModel model_of(std::vector<SentencePiece> pieces) {
  SentencePieceModel out;
  out.pieces = std::move(pieces);
  out.pieces.insert(out.pieces.begin(), {"<unk>", 0, PieceType::unknown});
  out.unknown = 0;
  return out;
}

std::vector<int32_t> encoded(const SentencePieceModel& model, std::string_view text) {
  std::vector<int32_t> ids;
  SentencePieceUnigram(model).encode(text, ids);
  return ids;
}

// The same by the definition, with every score of the text kept. Models without unknown text.
std::vector<int32_t> by_definition(const SentencePieceModel& model, const std::string& text) {
  std::vector<float> best(text.size() + 1, -std::numeric_limits<float>::infinity());
  std::vector<int32_t> last(text.size() + 1, 0);
  best[0] = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (std::abs(best[at]) > 100'000.0F) {
      const float here = best[at];
      for (size_t i = at; i <= text.size(); ++i) best[i] -= here;
    }
    for (size_t id = 1; id < model.pieces.size(); ++id) {
      const auto& piece = model.pieces[id];
      const float score = piece.score + best[at];
      if (text.compare(at, piece.text.size(), piece.text) != 0 || !(score > best[at + piece.text.size()])) continue;
      best[at + piece.text.size()] = score;
      last[at + piece.text.size()] = static_cast<int32_t>(id);
    }
  }
  std::vector<int32_t> ids;
  for (size_t end = text.size(); end > 0; end -= model.pieces[static_cast<size_t>(ids.back())].text.size())
    ids.push_back(last[end]);
  return {ids.rbegin(), ids.rend()};
}

TEST(SentencePieceUnigram, TakesThePathOfTheBestScore) {
  const auto model = model_of({{"a", -1}, {"b", -1}, {"ab", -1.5F}, {"ba", -3}});
  EXPECT_THAT(encoded(model, "ab"), ElementsAre(3));      // -1.5 against -2
  EXPECT_THAT(encoded(model, "aba"), ElementsAre(3, 1));  // -2.5 against -4
  EXPECT_THAT(encoded(model, "ba"), ElementsAre(2, 1));   // -2 against -3
  EXPECT_TRUE(encoded(model, "").empty());
}

TEST(SentencePieceUnigram, GivesOneUnknownIdForARunOrItsBytes) {
  auto model = model_of({{"a", -1}});
  EXPECT_THAT(encoded(model, "x\u00e9ax"), ElementsAre(0, 1, 0));
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    model.pieces.push_back({name, 0, PieceType::byte});
  }
  model.falls_back_to_bytes = true;
  EXPECT_THAT(encoded(model, "a\u00e9x"), ElementsAre(1, 2 + 0xC3, 2 + 0xA9, 2 + 'x'));
}

TEST(SentencePieceUnigram, PassesOverPiecesThatTextDoesNotHave) {
  const auto model = model_of({{"a", -1}, {"b", -1}, {"ab", 0, PieceType::unused}, {"ba", 0, PieceType::control}});
  EXPECT_THAT(encoded(model, "aba"), ElementsAre(1, 2, 1));
}

// 0.1 for each byte but the first against what its letters cost.
TEST(SentencePieceUnigram, PrefersUserDefinedPieces) {
  const auto model = model_of({{"a", -1}, {"b", -1}, {"c", -1}, {"abc", -0.5F}, {"ab", -99, PieceType::user_defined}});
  EXPECT_THAT(encoded(model, "abab"), ElementsAre(5, 5));
  EXPECT_THAT(encoded(model, "abc"), ElementsAre(4));  // -0.5 against 0.1 - 1
}

// Far longer than what is kept open, with and without places that all paths go through, and with scores that begin
// again: the ids of the definition.
TEST(SentencePieceUnigram, GivesTheIdsOfTheWholeTextHoweverLong) {
  RngStream rng(1, "unigram");
  std::vector<SentencePiece> pieces;
  for (const char* text : {"a", "b", "c", "ab", "bc", "ca", "abc", "aaa", "bca", "cc", "aabb"})
    pieces.push_back({text, static_cast<float>(-1 - 9 * rng.uniform()), PieceType::normal});
  std::string text;
  for (int i = 0; i < 150'000; ++i) text += static_cast<char>('a' + rng.below(3));
  const auto model = model_of(pieces);
  EXPECT_EQ(encoded(model, text), by_definition(model, text));
}

// Two ways that never meet before the end of the text: nothing can be settled.
TEST(SentencePieceUnigram, KeepsOpenWhatStaysOpen) {
  const auto model = model_of({{"aa", -1}, {"aaab", -1}, {"aab", -1}});
  const std::string text(100'001, 'a');
  const auto odd = encoded(model, text + "b"), even = encoded(model, text + "ab");
  EXPECT_EQ(odd.size(), 50'000U);  // 49,999 times aa, then aaab
  EXPECT_EQ(odd.back(), 2);
  EXPECT_EQ(even.size(), 50'001U);  // 50,000 times aa, then aab
  EXPECT_EQ(even.back(), 3);
  for (const auto& ids : {odd, even}) EXPECT_EQ(std::count(ids.begin(), ids.end(), 0), 0);
}

}  // namespace
}  // namespace evenkeel::data
