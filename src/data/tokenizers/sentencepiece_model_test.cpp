#include "data/tokenizers/sentencepiece_model.h"

#include <bit>

#include "core/errors.h"
#include "core/protobuf.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::HasSubstr;

std::string number(int field, uint64_t value) {
  std::string out;
  put_varint(out, static_cast<uint64_t>(field) << 3);
  put_varint(out, value);
  return out;
}

std::string piece(std::string_view text, float score, const std::string& type = "") {
  std::string message;
  put_bytes(message, 1, text);
  put_varint(message, 2 << 3 | 5);
  put_fixed32(message, std::bit_cast<uint32_t>(score));
  std::string out;
  put_bytes(out, 1, message + type);
  return out;
}

TEST(SentencePieceModel, ReadsPiecesAndSettings) {
  std::string model = piece("<unk>", 0, number(3, 2)) + piece("\u2581a", -1.5F) + piece("b", -2, number(3, 4));
  put_bytes(model, 2, number(3, 2) + number(4, 99) + number(24, 1) + number(35, 1));
  std::string normalizer = number(3, 0) + number(4, 0) + number(5, 0);
  put_bytes(normalizer, 2, "map");
  put_bytes(model, 3, normalizer);
  model += piece("c", -3, number(3, 77));  // a type of later versions is none
  const auto read = read_sentencepiece(model);
  ASSERT_EQ(read.pieces.size(), 4U);
  EXPECT_EQ(read.pieces[1].text, "\u2581a");
  EXPECT_EQ(read.pieces[1].score, -1.5F);
  EXPECT_EQ(read.pieces[1].type, PieceType::normal);
  EXPECT_EQ(read.pieces[2].type, PieceType::user_defined);
  EXPECT_EQ(read.pieces[3].type, PieceType::normal);
  EXPECT_EQ(read.unknown, 0);
  EXPECT_EQ(read.type, ModelType::bpe);
  EXPECT_EQ(read.map, "map");
  EXPECT_TRUE(read.adds_space_at_end);
  EXPECT_TRUE(read.falls_back_to_bytes);
  EXPECT_FALSE(read.adds_space || read.removes_extra_spaces || read.escapes_spaces);
}

TEST(SentencePieceModel, TakesTheDefaultsOfTheFormat) {
  const auto read = read_sentencepiece(piece("a", -1));
  EXPECT_EQ(read.type, ModelType::unigram);
  EXPECT_EQ(read.unknown, -1);
  EXPECT_TRUE(read.adds_space && read.removes_extra_spaces && read.escapes_spaces);
  EXPECT_FALSE(read.adds_space_at_end || read.falls_back_to_bytes);
}

TEST(SentencePieceModel, ReadsWhatTheLibraryTrains) {
  for (const std::string kind : {"unigram", "bpe"}) {
    const auto read = read_sentencepiece(read_file(small_model(kind)));
    EXPECT_EQ(read.pieces.size(), 400U);
    EXPECT_EQ(read.type, kind == "bpe" ? ModelType::bpe : ModelType::unigram);
    EXPECT_EQ(read.pieces[0].type, PieceType::unknown);
    EXPECT_EQ(read.pieces[2].text, "</s>");
    EXPECT_EQ(read.pieces[3].type, PieceType::user_defined);
    EXPECT_EQ(read.pieces[4].text, "<0x00>");
    EXPECT_EQ(read.pieces[4].type, PieceType::byte);
    EXPECT_TRUE(read.falls_back_to_bytes && read.map.empty());
    EXPECT_FALSE(read.adds_space || read.removes_extra_spaces);
  }
}

TEST(SentencePieceModel, RefusesWhatIsNoMessage) {
  for (const std::string& bytes :
       {std::string(9, '\xff'), piece("a", -1).substr(0, 5), std::string("\x0a\x02\x0a\x09")})
    EXPECT_THAT(message_of<DataError>([&] { read_sentencepiece(bytes); }), HasSubstr("that are no message"));
}

}  // namespace
}  // namespace evenkeel::data
