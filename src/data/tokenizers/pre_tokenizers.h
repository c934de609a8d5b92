// The pre-tokenizers of a tokenizer.json: they cut a text into the pieces that a model encodes one by one.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "data/tokenizers/regex.h"

namespace evenkeel::data {

struct Piece {
  std::string_view text;
  bool starts_text = false;  // its first character is that of the text that was given to encode
};

// Takes the pieces as they are cut, so that no list of them is kept.
class PieceSink {
 public:
  virtual ~PieceSink() = default;
  virtual void take(const Piece& piece) = 0;
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Cuts a piece, which is not empty, and may change the text of its parts. Empty parts may be among them.
  virtual void split(const Piece& piece, RegexWorkspace& workspace, PieceSink& out) const = 0;
};

// One after the other; none: the piece as it is.
class PreTokenizers {
 public:
  PreTokenizers() = default;
  // null, a pre-tokenizer or a sequence of them. With `leaves_bytes`, a last stage of type ByteLevel leaves the bytes
  // of its pieces as they are, for a model that takes bytes. JsonError, which names the type where evenkeel lacks it.
  PreTokenizers(const Json& json, bool leaves_bytes);
  void split(const Piece& piece, RegexWorkspace& workspace, PieceSink& out) const;

 private:
  std::vector<std::unique_ptr<PreTokenizer>> stages_;
};

// Whether the last stage is of type ByteLevel.
bool ends_byte_level(const Json& pre_tokenizer);

}  // namespace evenkeel::data
