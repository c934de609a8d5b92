#include "data/tokenizers/sentencepiece_encoder.h"

#include <algorithm>
#include <unordered_set>

#include "data/tokenizers/sentencepiece_bpe.h"
#include "data/tokenizers/sentencepiece_unigram.h"
#include "data/tokenizers/vocabulary.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

bool has_odd_pieces(const SentencePieceModel& model) {
  std::unordered_set<std::string_view> seen;
  return std::any_of(model.pieces.begin(), model.pieces.end(), [&](const auto& piece) {
    return !seen.insert(piece.text).second || valid_utf8_bytes(piece.text) != piece.text.size();
  });
}

bool has(const SentencePieceModel& model, PieceType type) {
  return std::any_of(model.pieces.begin(), model.pieces.end(), [&](const auto& piece) { return piece.type == type; });
}

}  // namespace

std::unique_ptr<SentencePieceEncoder> make_sentencepiece_encoder(const SentencePieceModel& model) {
  if (model.unknown < 0 || has_odd_pieces(model)) return nullptr;
  if (model.type == ModelType::unigram) return std::make_unique<SentencePieceUnigram>(model);
  if (model.type == ModelType::bpe && !has(model, PieceType::unused)) return std::make_unique<SentencePieceBpe>(model);
  return nullptr;
}

UnknownText::UnknownText(const SentencePieceModel& model)
    : unknown_(model.unknown), falls_back_to_bytes_(model.falls_back_to_bytes) {
  IdsByText ids;
  for (size_t id = 0; id < model.pieces.size(); ++id)
    if (model.pieces[id].type == PieceType::byte) ids[model.pieces[id].text] = static_cast<int32_t>(id);
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    const auto found = ids.find(byte_token(static_cast<unsigned char>(byte)));
    byte_ids_[byte] = found != ids.end() ? found->second : unknown_;
  }
}

void UnknownText::append(std::string_view text, std::vector<int32_t>& ids) const {
  if (falls_back_to_bytes_) {
    for (const char byte : text) ids.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
  } else if (ids.empty() || ids.back() != unknown_) {
    ids.push_back(unknown_);
  }
}

}  // namespace evenkeel::data
