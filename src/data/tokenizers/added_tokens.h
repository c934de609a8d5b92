// Tokens that are found in a text before it is cut into words: special ones, and others that were added to a
// vocabulary.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "data/tokenizers/flat_table.h"
#include "data/tokenizers/regex.h"

namespace evenkeel::data {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  std::string decoded;  // what decoding gives: the content, normalized where the token is
  bool is_special = false;
  bool is_normalized = false;  // found in the text after its normalization, as its own normalized form
  bool is_single_word = false;
  bool takes_space_left = false, takes_space_right = false;
};

// added_tokens of a tokenizer.json. JsonError.
std::vector<AddedToken> read_added_tokens(const Json& json);

// A part of a text: a token, or text between tokens.
struct TextPart {
  Span span;
  std::optional<int32_t> id;
};

// Finds tokens: at each place from the left the longest one, of equal ones the first.
class TokenFinder {
 public:
  TokenFinder() = default;
  void add(const std::string& pattern, const AddedToken& token);
  bool is_empty() const { return tokens_.empty(); }
  // The next part of a text from `done` on, which it moves on; none at its end. `done`: 0 at first.
  struct Progress {
    size_t done = 0;                // bytes that are handed out
    size_t search = 0;              // where the next token may begin
    std::optional<TextPart> token;  // found, but the text before it comes first
    bool finds_special = true;      // false: special tokens are passed over
  };
  std::optional<TextPart> next(std::string_view text, Progress& progress) const;

 private:
  struct Token {
    int32_t id;
    bool is_special, is_single_word, takes_space_left, takes_space_right;
  };
  struct Found {
    Span span;
    const Token* token;
  };
  struct Node {
    uint32_t index = 0;
    int32_t token = -1;
  };
  std::optional<Found> find(std::string_view text, size_t from) const;

  std::vector<Token> tokens_;
  FlatTable<Node> trie_;
  uint32_t n_nodes_ = 1;
  bool starts_[256] = {};  // bytes that a token begins with
};

}  // namespace evenkeel::data
