// Byte-pair models as the `sentencepiece` library encodes with them: the pair whose piece has the best score first,
// equal ones from the left.
#pragma once

#include "data/tokenizers/bpe.h"
#include "data/tokenizers/flat_table.h"
#include "data/tokenizers/sentencepiece_encoder.h"
#include "data/tokenizers/sentencepiece_normalizer.h"

namespace evenkeel::data {

class SentencePieceBpe final : public SentencePieceEncoder {
 public:
  explicit SentencePieceBpe(const SentencePieceModel& model);  // of other than unused pieces
  void encode(std::string_view normalized, std::vector<int32_t>& ids) const override;

 private:
  void encode_word(std::string_view word, Workspace& workspace, std::vector<int32_t>& ids) const;

  UnknownText unknown_;
  UserPieces user_pieces_;
  // Neighbours in a piece, by their two code points. Between any others no pair is ever merged: a text is cut there.
  FlatTable<char> neighbours_;
  std::unique_ptr<Bpe> bpe_;
  // Characters of pieces that are no pieces themselves have ids from here on while pairs are merged.
  int32_t first_inner_ = 0;
  std::vector<std::string> inner_;    // those characters
  mutable WorkspacePool workspaces_;  // only makes it faster
};

}  // namespace evenkeel::data
