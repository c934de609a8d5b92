// The map of characters of SentencePiece's normalization, as a tokenizer.json holds it: a trie and the texts to put in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace evenkeel::data {

class Precompiled {
 public:
  // units: of a double array (darts-clone); texts: each ends with a zero byte.
  Precompiled(std::vector<uint32_t> units, std::string texts) : units_(std::move(units)), texts_(std::move(texts)) {}
  // In place, by grapheme clusters of less than six bytes, then by characters. Returns false: as for the library, the
  // text begins where it began.
  bool apply(std::string& text) const;

 private:
  bool append_mapped(std::string_view chunk, std::string& out) const;
  std::vector<uint32_t> units_;
  std::string texts_;
};

Precompiled read_precompiled(const Json& charsmap);  // base64; JsonError

}  // namespace evenkeel::data
