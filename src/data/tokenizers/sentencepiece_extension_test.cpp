#include <bit>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/output.h"
#include "core/protobuf.h"
#include "data/test_support.h"
#include "data/tokenizers/extension.h"
#include "data/tokenizers/sentencepiece_model.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

void put_piece(std::string& model, const std::string& text, float score, PieceType type = PieceType::normal) {
  std::string piece;
  put_bytes(piece, 1, text);
  put_varint(piece, 2 << 3 | 5);
  put_fixed32(piece, std::bit_cast<uint32_t>(score));
  put_varint(piece, 3 << 3);
  put_varint(piece, static_cast<uint64_t>(type));
  put_bytes(model, 1, piece);
}

// <unk>, a, b, U+2581, U+2581 with a; pairs of letters stand in "bb".
std::string small_content(ModelType type) {
  std::string model, trainer;
  put_piece(model, "<unk>", 0, PieceType::unknown);
  put_piece(model, "a", -1);
  put_piece(model, "b", -2);
  put_piece(model, "\u2581", -3);
  put_piece(model, "\u2581a", -3.5F);
  put_piece(model, "bb", -4);
  put_varint(trainer, 3 << 3);
  put_varint(trainer, static_cast<uint64_t>(type));
  put_bytes(model, 2, trainer);
  return model;
}

std::vector<int32_t> ids_of(const Extension& extension, const std::string& text) {
  std::vector<int32_t> ids;
  extension.split(text, [&](std::string_view part) { extension.encode(part, ids); });
  return ids;
}

TEST(SentencePieceExtension, AppendsJoinedPiecesToAUnigramModel) {
  const std::string old = small_content(ModelType::unigram);
  const auto extension = open_sentencepiece_extension("a.model", old);
  EXPECT_THAT(ids_of(*extension, "ab"), ElementsAre(4, 2));  // a space comes first
  EXPECT_TRUE(extension->begins_word(4));
  EXPECT_FALSE(extension->begins_word(2));
  EXPECT_EQ(extension->join(4, 2), 6);
  EXPECT_EQ(extension->join(6, 1), 7);
  EXPECT_EQ(extension->join(0, 1), std::nullopt);
  const std::string content = extension->content();
  EXPECT_TRUE(content.starts_with(old));
  const SentencePieceModel model = read_sentencepiece(content);
  ASSERT_EQ(model.pieces.size(), 8U);
  EXPECT_EQ(model.pieces[6].text, "\u2581ab");
  EXPECT_FLOAT_EQ(model.pieces[6].score, static_cast<float>(-5.5 + joined_bonus(6)));
  EXPECT_FLOAT_EQ(model.pieces[7].score, static_cast<float>(-6.5 + joined_bonus(6) + joined_bonus(7)));
  EXPECT_EQ(model.pieces[7].type, PieceType::normal);
  EXPECT_THAT(ids_of(*open_sentencepiece_extension("a.model", content), "ab aba"), ElementsAre(6, 7));
}

TEST(SentencePieceExtension, NewPairsComeBehindTheOldOnes) {
  const auto extension = open_sentencepiece_extension("a.model", small_content(ModelType::bpe));
  EXPECT_EQ(extension->join(1, 2), 6);  // ab, but a goes to its space first
  EXPECT_EQ(extension->join(4, 2), 7);
  const std::string content = extension->content();
  const SentencePieceModel model = read_sentencepiece(content);
  EXPECT_EQ(model.pieces[6].score, -5);  // 1 below the least, which is -4
  EXPECT_EQ(model.pieces[7].score, -6);
  EXPECT_THAT(ids_of(*open_sentencepiece_extension("a.model", content), "bab abbb"), ElementsAre(3, 2, 6, 4, 5, 2));
}

TEST(SentencePieceExtension, CharactersGetPieces) {
  for (const ModelType type : {ModelType::unigram, ModelType::bpe}) {
    const auto extension = open_sentencepiece_extension("a.model", small_content(type));
    EXPECT_THAT(ids_of(*extension, "\u0436"), ElementsAre(3, 0));
    extension->add_characters({"\u0436"});
    EXPECT_THAT(ids_of(*extension, "\u0436"), ElementsAre(3, 6));
    const auto model = read_sentencepiece(extension->content());
    EXPECT_EQ(model.pieces[6].score, type == ModelType::bpe ? -5 : -4);
  }
}

TEST(SentencePieceExtension, BearsTheMarkOnce) {
  const auto extension = open_sentencepiece_extension("a.model", small_content(ModelType::bpe));
  extension->join(4, 2);
  const TemporaryFolder folder;
  const std::string once = extension->content();
  EXPECT_TRUE(is_own({folder.write("a.model", once), OutputKind::tokenizer}));
  EXPECT_FALSE(is_own({folder.write("b.model", small_content(ModelType::bpe)), OutputKind::tokenizer}));
  EXPECT_EQ(open_sentencepiece_extension("a.model", once)->content(), once);
}

TEST(SentencePieceExtension, NamesWhatCannotBeExtended) {
  const auto refused = [](const std::string& content) {
    return message_of<DataError>([&] { open_sentencepiece_extension("a.model", content); });
  };
  EXPECT_THAT(refused(small_content(ModelType::word)),
              HasSubstr("a.model: got a SentencePiece model of kind word, which cannot be extended"));
  EXPECT_THAT(refused(small_content(ModelType::character)), HasSubstr("of kind char, which cannot be extended"));
  std::string twice = small_content(ModelType::bpe);
  put_piece(twice, "a", -9);
  EXPECT_THAT(refused(twice), HasSubstr("with a piece twice"));
  std::string tested = small_content(ModelType::bpe);
  put_bytes(tested, 4, "x");
  EXPECT_THAT(refused(tested), HasSubstr("self-test data"));
}

}  // namespace
}  // namespace evenkeel::data
