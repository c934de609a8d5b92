// The map of characters of SentencePiece's normalization, as a tokenizer.json and a .model hold it: a trie and the
// texts to put in.
#pragma once

#include <cstdint>
#include <optional>
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
  // The rule for the longest beginning of the text that has one, as SentencePiece itself takes it.
  struct Rule {
    size_t bytes;           // of the beginning
    std::string_view text;  // that stands for it
  };
  std::optional<Rule> longest_rule(std::string_view text) const;

 private:
  // Calls take(rule) for each beginning that has one, the shortest first, until it returns false.
  template <class Take>
  void each_rule(std::string_view text, Take&& take) const;
  bool append_mapped(std::string_view chunk, std::string& out) const;
  std::vector<uint32_t> units_;
  std::string texts_;
};

Precompiled read_precompiled(const Json& charsmap);  // base64; JsonError
Precompiled read_charsmap(std::string_view bytes);   // as a .model has it; DataError

}  // namespace evenkeel::data
