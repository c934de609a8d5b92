#include "data/tokenizers/sentencepiece_encoder.h"

#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;

SentencePieceModel model_of(ModelType type) {
  SentencePieceModel out;
  out.type = type;
  out.pieces = {{"<unk>", 0, PieceType::unknown}, {"a", -1, PieceType::normal}, {"b", -1, PieceType::normal}};
  out.unknown = 0;
  return out;
}

TEST(SentencePieceEncoder, LeavesToTheLibraryWhatItHasNot) {
  EXPECT_NE(make_sentencepiece_encoder(model_of(ModelType::unigram)), nullptr);
  EXPECT_NE(make_sentencepiece_encoder(model_of(ModelType::bpe)), nullptr);
  EXPECT_EQ(make_sentencepiece_encoder(model_of(ModelType::word)), nullptr);
  EXPECT_EQ(make_sentencepiece_encoder(model_of(ModelType::character)), nullptr);
  auto model = model_of(ModelType::unigram);
  model.pieces[2].type = PieceType::unused;
  EXPECT_NE(make_sentencepiece_encoder(model), nullptr);
  model.type = ModelType::bpe;
  EXPECT_EQ(make_sentencepiece_encoder(model), nullptr);
  for (const char* text : {"a", "\xe2\x96"}) {
    model = model_of(ModelType::unigram);
    model.pieces[2].text = text;
    EXPECT_EQ(make_sentencepiece_encoder(model), nullptr) << text;
  }
  model = model_of(ModelType::unigram);
  model.unknown = -1;
  EXPECT_EQ(make_sentencepiece_encoder(model), nullptr);
}

TEST(UnknownText, IsOneIdForARun) {
  const UnknownText unknown(model_of(ModelType::unigram));
  std::vector<int32_t> ids = {1};
  unknown.append("x", ids);
  unknown.append("\u00e9", ids);
  ids.push_back(2);
  unknown.append("x", ids);
  EXPECT_THAT(ids, ElementsAre(1, 0, 2, 0));
}

}  // namespace
}  // namespace evenkeel::data
