// The decoders of a tokenizer.json: tokens back to text.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/json.h"
#include "data/tokenizers/regex.h"

namespace evenkeel::data {

class Decoder {
 public:
  virtual ~Decoder() = default;
  // The tokens of a text to those that the next step takes; joined, they are the text.
  virtual std::vector<std::string> apply(std::vector<std::string> tokens) const = 0;
};

// null gives none: the tokens are joined by spaces. JsonError, which names the type where evenkeel lacks it.
std::unique_ptr<Decoder> read_decoder(const Json& json);

// U+FFFD in place of what is no UTF-8, one for each longest beginning of a character, as the Unicode Standard advises.
std::string repaired_utf8(std::string_view bytes);

}  // namespace evenkeel::data
