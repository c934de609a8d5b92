// SentencePiece .model files that get new pieces. The old bytes stay; the new pieces follow, for a repeated field goes
// on wherever it stands in a message.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "core/errors.h"
#include "core/output.h"
#include "core/protobuf.h"
#include "data/tokenizers/extension.h"
#include "data/tokenizers/sentencepiece_encoder.h"
#include "data/tokenizers/sentencepiece_normalizer.h"

namespace evenkeel::data {
namespace {

constexpr int kPieces = 1, kSelfTest = 4;

const char* name_of(ModelType type) {
  constexpr const char* kNames[] = {"unigram", "bpe", "word", "char"};
  return kNames[static_cast<size_t>(type) - 1];
}

class SentencePieceExtension final : public Extension {
 public:
  explicit SentencePieceExtension(const std::string& content)
      : content_(content), model_(read_sentencepiece(content)), normalizer_(model_) {
    const bool is_known = model_.type == ModelType::unigram || model_.type == ModelType::bpe;
    require<DataError>(is_known, "got a SentencePiece model of kind ", name_of(model_.type),
                       ", which cannot be extended; need unigram or bpe");
    encoder_ = make_sentencepiece_encoder(model_);
    require<DataError>(encoder_ != nullptr,
                       "got a SentencePiece model that cannot be extended: without an unknown piece, with a piece "
                       "twice, with one that is no UTF-8, or a bpe with unused ones; need one without");
    for (const auto& field : proto_fields(content).value_or(std::vector<ProtoField>()))
      require<DataError>(field.number != kSelfTest || field.bytes.empty(),
                         "got a SentencePiece model with self-test data, which the new pieces would fail; need one "
                         "without");
    lowest_score_ = std::numeric_limits<float>::max();
    for (const auto& [text, score, type] : model_.pieces) {
      pieces_.add(text, type == PieceType::normal);
      if (type == PieceType::normal) lowest_score_ = std::min(lowest_score_, score);
    }
    require<DataError>(lowest_score_ < std::numeric_limits<float>::max(),
                       "got a SentencePiece model without a normal piece; need some");
  }

  void split(std::string_view text, const TakePart& take) const override { take(normalizer_.normalized(text)); }
  void encode(std::string_view part, std::vector<int32_t>& ids) const override { encoder_->encode(part, ids); }
  bool takes_characters() const override { return true; }
  void add_characters(const std::vector<std::string>& characters) override {
    for (const auto& character : characters) {
      pieces_.add_new(character);
      add_piece(character, model_.type == ModelType::bpe ? next_bpe_score() : lowest_score_);
    }
    encoder_ = make_sentencepiece_encoder(model_);
  }
  std::optional<int32_t> join(int32_t left, int32_t right) override {
    const auto id = pieces_.join(left, right);
    if (!id) return id;
    const bool is_bpe = model_.type == ModelType::bpe;
    add_piece(pieces_.text(*id), is_bpe ? next_bpe_score() : joined_score(left, right, *id));
    return id;
  }
  const PieceList& pieces() const override { return pieces_; }
  bool begins_word(int32_t id) const override {
    return !model_.adds_space_at_end && pieces_.text(id).starts_with(space());
  }
  bool ends_word(int32_t id) const override { return model_.adds_space_at_end && pieces_.text(id).ends_with(space()); }
  std::string content() const override {
    std::string out = content_;
    for (const auto& field : proto_fields(content_).value_or(std::vector<ProtoField>()))
      if (field.number == kExtendedField) return out + records_;
    put_bytes(out, kExtendedField, kExtendedMark);
    return out + records_;
  }

 private:
  std::string_view space() const { return model_.escapes_spaces ? "\u2581" : " "; }
  float score_of(int32_t id) const { return model_.pieces[static_cast<size_t>(id)].score; }
  // Behind all others: the pair of the best score is merged first.
  float next_bpe_score() {
    const float below = std::nextafter(lowest_score_, std::numeric_limits<float>::lowest());
    return lowest_score_ = std::min(lowest_score_ - 1, below);
  }
  float joined_score(int32_t left, int32_t right, int32_t id) const {
    return static_cast<float>(double{score_of(left)} + double{score_of(right)} + joined_bonus(id));
  }
  void add_piece(const std::string& text, float score) {
    model_.pieces.push_back({text, score, PieceType::normal});
    std::string piece;
    put_bytes(piece, 1, text);
    put_varint(piece, 2 << 3 | 5);
    put_fixed32(piece, std::bit_cast<uint32_t>(score));
    put_bytes(records_, kPieces, piece);
  }

  std::string content_, records_;  // the old file, and what comes behind it
  SentencePieceModel model_;
  SentencePieceNormalizer normalizer_;
  std::unique_ptr<SentencePieceEncoder> encoder_;
  PieceList pieces_{PieceForm::characters};
  float lowest_score_ = 0;
};

}  // namespace

std::unique_ptr<Extension> open_sentencepiece_extension(const std::filesystem::path& path, const std::string& content) {
  try {
    return std::make_unique<SentencePieceExtension>(content);
  } catch (const DataError& error) {
    fail<DataError>(path.string(), ": ", error.what());
  }
}

}  // namespace evenkeel::data
