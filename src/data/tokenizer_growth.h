// Tokenizers of which one goes on where another ends, as `tokenizer extend` makes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/tokenizer.h"

namespace evenkeel::data {

// Whether every id of `smaller` stands for the same piece in `larger`, which may have more.
bool extends(const Tokenizer& larger, const Tokenizer& smaller);

// Of each id first, ..., end - 1 of `larger` the ids that `smaller` makes of the piece's text, as the model inside sees
// it: no normalization and no space in front come in between. Empty where `larger` has no such id or an empty piece.
// Both files, or folders, of kinds that can be extended; DataError else.
std::vector<std::vector<int32_t>> parts_of_pieces(const std::filesystem::path& larger,
                                                  const std::filesystem::path& smaller, int64_t first, int64_t end);

}  // namespace evenkeel::data
