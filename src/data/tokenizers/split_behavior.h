// What becomes of the delimiters that a pre-tokenizer finds.
#pragma once

#include <optional>
#include <string_view>

#include "core/json.h"
#include "data/tokenizers/pre_tokenizers.h"

namespace evenkeel::data {

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };
SplitBehavior read_split_behavior(const Json& json);  // JsonError

// Takes the spans of a piece from left to right, delimiters and what is between them, and hands on its parts.
class SplitParts {
 public:
  SplitParts(SplitBehavior behavior, const Piece& piece, PieceSink& out)
      : behavior_(behavior), piece_(piece), out_(out) {}
  void add(Span span, bool is_delimiter);
  void finish();

 private:
  void hand_on(Span span);
  SplitBehavior behavior_;
  Piece piece_;
  PieceSink& out_;
  std::optional<Span> held_;  // may still grow
  bool after_delimiter_ = false;
};

}  // namespace evenkeel::data
