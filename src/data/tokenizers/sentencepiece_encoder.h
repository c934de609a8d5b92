// From normalized text to the ids of a SentencePiece model: those of the `sentencepiece` library 0.2.3, whatever the
// length of the text.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "data/tokenizers/sentencepiece_model.h"

namespace evenkeel::data {

class SentencePieceEncoder {
 public:
  virtual ~SentencePieceEncoder() = default;
  virtual void encode(std::string_view normalized, std::vector<int32_t>& ids) const = 0;  // appends; thread-safe
};
// nullptr for what is left to the library: models of words and of characters, models of pairs with unused pieces, and
// those that have no unknown piece, the same piece twice or one that is no UTF-8.
std::unique_ptr<SentencePieceEncoder> make_sentencepiece_encoder(const SentencePieceModel& model);

// Ids of text that is no piece: of its bytes where the model falls back to them, else one unknown id for a run of it.
class UnknownText {
 public:
  explicit UnknownText(const SentencePieceModel& model);
  int32_t id() const { return unknown_; }
  void append(std::string_view text, std::vector<int32_t>& ids) const;

 private:
  int32_t unknown_;
  bool falls_back_to_bytes_;
  std::array<int32_t, 256> byte_ids_ = {};
};

}  // namespace evenkeel::data
