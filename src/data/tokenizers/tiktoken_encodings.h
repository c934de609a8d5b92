// The published encodings of tiktoken's kind: what their rank files do not say.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/tokenizers/added_tokens.h"

namespace evenkeel::data {

struct TiktokenEncoding {
  const char* name;
  int64_t n_ranks;
  const char* pattern;
  const char* eos;
  const char* bos;  // null: none is put before a text
  std::vector<std::pair<const char*, int32_t>> special_tokens;
  // Reserved tokens: their prefix, the first number, and the first and last id; the prefix is null where there are
  // none.
  struct Reserved {
    const char* prefix;
    int32_t first_number, first_id, last_id;
  } reserved;
};
const TiktokenEncoding* tiktoken_encoding(int64_t n_ranks);  // nullptr: none has as many
std::string known_tiktoken_encodings();
std::vector<AddedToken> special_tokens(const TiktokenEncoding& encoding);

}  // namespace evenkeel::data
