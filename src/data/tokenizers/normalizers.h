// The normalizers of a tokenizer.json: changes to a text before it is cut.
#pragma once

#include <memory>
#include <string>

#include "core/json.h"
#include "data/tokenizers/regex.h"

namespace evenkeel::data {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // In place; text: valid UTF-8. Returns whether the first character no longer stands for the first one of before.
  virtual bool apply(std::string& text, RegexWorkspace& workspace) const = 0;
};

// JsonError, which names the kind where evenkeel lacks it.
std::unique_ptr<Normalizer> read_normalizer(const Json& json);

}  // namespace evenkeel::data
