#include "cli/token_texts.h"

#include <gtest/gtest.h>

#include "data/test_support.h"

namespace evenkeel::cli {
namespace {

TEST(TokenTexts, DecodeAroundIdsThatTheTokenizerDoesNotHave) {
  auto tokenizer = data::open_tokenizer(data::small_model());
  const std::string text = "ka lo.";
  std::vector<int64_t> ids;
  for (const int32_t id : tokenizer->encode(text, false)) ids.push_back(id);
  const TokenTexts texts(std::move(tokenizer));
  EXPECT_EQ(texts.text(ids), text);
  ids.push_back(400);
  ids.push_back(511);
  EXPECT_EQ(texts.text(ids), text + "<400><511>");
  EXPECT_EQ(texts.piece(511), "<511>");
  EXPECT_EQ(texts.piece(-1), "<-1>");
  std::string pieces;
  for (size_t i = 0; i + 2 < ids.size(); ++i) pieces += texts.piece(ids[i]);
  EXPECT_EQ(pieces, text);
}

// Half of a character can be cut off at the border of a sequence.
TEST(TokenTexts, MendWhatIsNoCharacter) {
  auto tokenizer = data::open_tokenizer(data::small_model());
  const auto byte = tokenizer->id_of("<0xE2>");
  ASSERT_TRUE(byte.has_value());
  const TokenTexts texts(std::move(tokenizer));
  const std::vector<int64_t> ids = {*byte};
  const auto text = texts.text(ids);
  EXPECT_EQ(text->find('\xE2'), std::string::npos);
}

TEST(TokenTexts, AreNumbersWithoutATokenizer) {
  const TokenTexts texts(nullptr);
  EXPECT_EQ(texts.text(std::vector<int64_t>{1, 2}), std::nullopt);
  EXPECT_EQ(texts.piece(12), "12 ");
}

}  // namespace
}  // namespace evenkeel::cli
