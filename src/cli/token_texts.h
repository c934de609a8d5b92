// Token ids as text, of a tokenizer that may lack some of them.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "data/tokenizer.h"

namespace evenkeel::cli {

class TokenTexts {
 public:
  explicit TokenTexts(std::unique_ptr<data::Tokenizer> tokenizer);  // nullptr: ids stand as numbers
  // Decoded; an id that the tokenizer does not have, such as a sentinel, stands as <511>, and a byte that is no
  // character of its own as U+FFFD. None without a tokenizer.
  std::optional<std::string> text(std::span<const int64_t> ids) const;
  // One id by itself, with its spaces: what Tokenizer::piece says, <511> where it does not have the id. Without a
  // tokenizer the number and a space.
  std::string piece(int64_t id) const;

 private:
  bool has(int64_t id) const;
  std::unique_ptr<data::Tokenizer> tokenizer_;
};

}  // namespace evenkeel::cli
