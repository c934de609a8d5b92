// New pieces for a tokenizer from new text. Every old id keeps its piece.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/readers.h"

namespace evenkeel::data {

struct TokenizerExtension {
  std::filesystem::path tokenizer;  // a file or a folder, as open_tokenizer takes it
  int64_t vocab_size = 0;           // with the new pieces
  int64_t n_threads = 0;            // 0: all cores; the pieces do not depend on it
  ReaderOptions reader = {};        // its document_separator is not looked at: every line of text stands alone
};

// Writes `out` atomically, a file of the same kind. First come characters that have no piece, the most frequent first,
// until 99.95 % of all that are no white space have one; then pairs of neighbours in a word, joined the most frequent
// first (pair_growth.h). A word is what the tokenizer's own pre-tokenization makes of the text, in models of characters
// also cut at U+2581. DataError where the text gives too few pieces, or for a kind that cannot be extended.
void extend_tokenizer(const TokenizerExtension& options, const std::vector<std::filesystem::path>& inputs,
                      const std::filesystem::path& out);

}  // namespace evenkeel::data
