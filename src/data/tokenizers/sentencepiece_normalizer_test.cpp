#include "data/tokenizers/sentencepiece_normalizer.h"

#include <cstring>

#include "core/errors.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

std::string normalized(const SentencePieceModel& model, std::string_view text) {
  return SentencePieceNormalizer(model).normalized(text);
}

// A map of two keys, as a .model holds it: "a" and "ab", whose texts stand one after the other.
std::string map_of_two(std::string_view text_of_a, std::string_view text_of_ab) {
  std::vector<uint32_t> units(1024, 0);
  units[0] = 256U << 10;                                         // the children of the root are at 256 ^ byte
  units[256 ^ 'a'] = ((256 ^ 'a' ^ 512) << 10) | 1U << 8 | 'a';  // its leaf is at 512, its child 'b' at 512 ^ 'b'
  units[512] = 1U << 31;
  units[512 ^ 'b'] = ((512 ^ 'b' ^ 768) << 10) | 1U << 8 | 'b';
  units[768] = 1U << 31 | static_cast<uint32_t>(text_of_a.size() + 1);
  const auto size = static_cast<uint32_t>(units.size() * sizeof(uint32_t));
  std::string out(sizeof size + size, '\0');
  std::memcpy(out.data(), &size, sizeof size);
  std::memcpy(out.data() + sizeof size, units.data(), size);
  return out.append(text_of_a).append(1, '\0').append(text_of_ab).append(1, '\0');
}

TEST(SentencePieceNormalizer, AddsNoSpaceToATextThatGoesOn) {
  SentencePieceModel model;
  EXPECT_EQ(SentencePieceNormalizer(model).normalized("x y", /*starts_text=*/false), "x\u2581y");
  model.adds_space_at_end = true;
  EXPECT_EQ(SentencePieceNormalizer(model).normalized("x y", /*starts_text=*/false), "x\u2581y");
}

TEST(SentencePieceNormalizer, TreatsSpacesAsTheModelSays) {
  SentencePieceModel model;
  EXPECT_EQ(normalized(model, "  x   y "), "\u2581x\u2581y");
  EXPECT_EQ(normalized(model, "   "), "");
  EXPECT_EQ(normalized(model, ""), "");
  model.adds_space_at_end = true;
  EXPECT_EQ(normalized(model, "  x   y "), "x\u2581y\u2581");
  model.removes_extra_spaces = false;
  EXPECT_EQ(normalized(model, " x  y "), "\u2581x\u2581\u2581y\u2581\u2581");
  model.adds_space = false;
  EXPECT_EQ(normalized(model, " x"), "\u2581x");
  model.escapes_spaces = false;
  EXPECT_EQ(normalized(model, " x "), " x ");
  model.removes_extra_spaces = true;
  EXPECT_EQ(normalized(model, "  x  "), "x");
}

TEST(SentencePieceNormalizer, TakesTheLongestRuleOfTheMap) {
  SentencePieceModel model;
  model.adds_space = false;
  model.map = map_of_two("X", " Y ");
  EXPECT_EQ(normalized(model, "a"), "X");
  EXPECT_EQ(normalized(model, "aab"), "X\u2581Y");
  EXPECT_EQ(normalized(model, "ab"), "Y");
  EXPECT_EQ(normalized(model, "abab c"), "Y\u2581Y\u2581c");  // spaces of the map are extra ones too
  model.removes_extra_spaces = false;
  EXPECT_EQ(normalized(model, "ab c"), "\u2581Y\u2581\u2581c");
}

TEST(SentencePieceNormalizer, LeavesUserDefinedPiecesAsTheyAre) {
  SentencePieceModel model;
  model.adds_space = false;
  model.map = map_of_two("X", "Y");
  model.pieces = {
      {"ab", 0, PieceType::user_defined}, {"abc", 0, PieceType::user_defined}, {"  ", 0, PieceType::user_defined}};
  EXPECT_EQ(normalized(model, "abcabda"), "abcabdX");
  EXPECT_EQ(normalized(model, "d  d"), "d\u2581\u2581d");  // the first step ends with a space, and is whole
  EXPECT_EQ(normalized(model, "d   d"), "d\u2581\u2581d");
}

TEST(SentencePieceNormalizer, RefusesADamagedMap) {
  SentencePieceModel model;
  model.map = "abc";
  EXPECT_THAT(message_of<DataError>([&] { SentencePieceNormalizer{model}; }),
              HasSubstr("got a map of characters of 3"));
  model.map = std::string("\x00\x00\x00\x7f", 4);
  EXPECT_THAT(message_of<DataError>([&] { SentencePieceNormalizer{model}; }), HasSubstr("got a trie of 2130706432"));
  model.map = map_of_two("\xe2\x96", "Y");
  EXPECT_THAT(message_of<DataError>([&] { normalized(model, "xa"); }), HasSubstr("no UTF-8 after its normalization"));
}

TEST(UserPieces, FindTheLongestAtAPlace) {
  SentencePieceModel model;
  model.pieces = {{"a", 0, PieceType::user_defined}, {"abc", 0, PieceType::normal}, {"ab", 0, PieceType::user_defined}};
  const UserPieces pieces(model);
  EXPECT_EQ(pieces.first_of("abc")->id, 2);
  EXPECT_EQ(pieces.first_of("abc")->bytes, 2U);
  EXPECT_EQ(pieces.first_of("ac")->id, 0);
  EXPECT_FALSE(pieces.first_of("ba"));
  EXPECT_FALSE(pieces.first_of(""));
}

}  // namespace
}  // namespace evenkeel::data
