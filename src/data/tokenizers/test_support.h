#pragma once

#include <string>
#include <vector>

#include "data/tokenizers/pre_tokenizers.h"

namespace evenkeel::data {

// The texts of the pieces that it is given.
class Pieces final : public PieceSink {
 public:
  void take(const Piece& piece) override { all.emplace_back(piece.text); }
  std::vector<std::string> all;
};

}  // namespace evenkeel::data
