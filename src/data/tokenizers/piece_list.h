// The pieces of a tokenizer that grows: their texts by id, and which of them may become one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "data/tokenizers/vocabulary.h"

namespace evenkeel::data {

// What may stand side by side in a piece. Of models of bytes the words say that alone.
enum class PieceForm {
  bytes,       // in the byte alphabet, at most 64 of them
  characters,  // at most 16, and of kinds that stand side by side in an old piece
};

// Characters are of four kinds: U+2581, digits, letters, others. Two kinds meet in a new piece only where they meet in
// an old one, so that a model that keeps its digits apart goes on to do so. A piece may be as long as the longest old
// one where that is longer.
class PieceList {
 public:
  explicit PieceList(PieceForm form) : form_(form) {}
  // An old piece, in the order of the ids. Ordinary ones are found in text and may be parts of new ones.
  void add(std::string_view text, bool is_ordinary);
  int32_t add_new(const std::string& text);  // its id
  // Adds the text of both where that is a new piece of the right form. Returns its id.
  std::optional<int32_t> join(int32_t left, int32_t right);

  int64_t size() const { return static_cast<int64_t>(pieces_.size()); }
  const std::string& text(int32_t id) const { return pieces_[static_cast<size_t>(id)].text; }
  bool is_ordinary(int32_t id) const { return pieces_[static_cast<size_t>(id)].is_ordinary; }
  bool has(std::string_view text) const { return texts_.contains(text); }

 private:
  struct OnePiece {
    std::string text;
    bool is_ordinary;
  };
  static constexpr size_t kKinds = 4;
  bool may_meet(std::string_view left, std::string_view right) const;
  void note_form(std::string_view text);

  PieceForm form_;
  std::vector<OnePiece> pieces_;
  std::unordered_set<std::string, TextHash, std::equal_to<>> texts_;
  bool meet_[kKinds][kKinds] = {};  // kinds of characters, left and right
  size_t longest_ = 0;              // in characters, of the old ordinary pieces
};

}  // namespace evenkeel::data
