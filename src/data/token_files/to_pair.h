// Token files of other trainers to an indexed dataset (`evenkeel convert`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "data/token_files/registry.h"
#include "data/tokenizer.h"

namespace evenkeel::data {

struct ToPairOptions {
  std::optional<TokenType> dtype;        // of files without a header
  std::optional<int64_t> eod;            // the id that sets documents apart
  std::optional<DocumentMark> mark;      // nothing: what the writers of the files do, where there is an `eod`
  std::optional<int64_t> vocab_size;     // nothing: the tokenizer's, or the largest id + 1
  const Tokenizer* tokenizer = nullptr;  // whose ids they are
};

struct Converted {
  Json description;                    // what PREFIX.json says
  std::vector<std::string> sentences;  // what was read and made
  std::vector<std::string> warnings;
};

// The files in the given order are one stream, which is cut into documents; without an id that sets them apart each
// file is one. Memory is bounded whatever the size of the files. Errors leave no file.
Converted tokens_to_pair(const std::vector<std::filesystem::path>& inputs, const std::filesystem::path& prefix,
                         const ToPairOptions& options);

}  // namespace evenkeel::data
