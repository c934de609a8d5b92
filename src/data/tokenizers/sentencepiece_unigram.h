// Unigram models as the `sentencepiece` library encodes with them (Kudo 2018, arXiv:1804.10959, §3.2): the path of the
// best score over the whole text, in fp32. Rounding decides between paths that are nearly equal, so the sums are those
// of the library, from the start of the text on; but what lies behind a place that all paths still open go through is
// handed out and forgotten.
#pragma once

#include "data/tokenizers/piece_trie.h"
#include "data/tokenizers/sentencepiece_encoder.h"

namespace evenkeel::data {

class SentencePieceUnigram final : public SentencePieceEncoder {
 public:
  explicit SentencePieceUnigram(const SentencePieceModel& model);
  void encode(std::string_view normalized, std::vector<int32_t>& ids) const override;

 private:
  class Paths;
  UnknownText unknown_;
  PieceTrie trie_;
  std::vector<float> scores_;  // by id
  float unknown_score_ = 0;    // of a character that is no piece
  size_t most_bytes_ = 4;      // of a piece or a character
};

}  // namespace evenkeel::data
