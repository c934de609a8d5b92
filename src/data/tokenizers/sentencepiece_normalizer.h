// Normalization as the `sentencepiece` library does it before it encodes: user-defined pieces as they are, characters
// by the map, spaces.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "data/tokenizers/piece_trie.h"
#include "data/tokenizers/precompiled.h"
#include "data/tokenizers/sentencepiece_model.h"

namespace evenkeel::data {

// The user-defined pieces of a model, to be found in a text: at each place the longest one.
class UserPieces {
 public:
  explicit UserPieces(const SentencePieceModel& model);
  struct Found {
    size_t bytes;
    int32_t id;
  };
  std::optional<Found> first_of(std::string_view text) const;  // the one that the text begins with

 private:
  PieceTrie trie_;
  bool starts_[256] = {};  // bytes that a piece begins with
};

class SentencePieceNormalizer {
 public:
  explicit SentencePieceNormalizer(const SentencePieceModel& model);  // DataError for a map that is none
  // Valid UTF-8. The space that a model adds to a text is left out where the text goes on after another.
  std::string normalized(std::string_view text, bool starts_text = true) const;

 private:
  // The start of a text, and what stands for it.
  struct Step {
    size_t bytes;
    std::string_view text;
  };
  Step first_step(std::string_view text) const;
  void append(std::string& out, std::string_view text) const;

  UserPieces user_pieces_;
  Precompiled map_;
  std::string_view space_;
  bool adds_space_, adds_space_at_end_, removes_extra_spaces_;
};

}  // namespace evenkeel::data
