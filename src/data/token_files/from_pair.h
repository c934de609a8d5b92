// An indexed dataset to a token file of another trainer (`evenkeel convert`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "data/token_files/registry.h"

namespace evenkeel::data {

struct FromPairOptions {
  std::string to;                  // name of a kind; "" = what the suffix of the file means
  std::optional<TokenType> dtype;  // nothing: u16 where the largest id fits, else u32
};

struct WrittenTokens {
  const TokenFileKind* kind = nullptr;
  TokenType type = TokenType::u16;
  int64_t n_tokens = 0;
};

// The stream of the pair, as a list of ids: what sets its documents apart is their end-of-document id alone. Memory is
// bounded whatever the size of the pair. Errors leave no file.
WrittenTokens pair_to_tokens(const std::filesystem::path& prefix, const std::filesystem::path& out,
                             const FromPairOptions& options);

}  // namespace evenkeel::data
