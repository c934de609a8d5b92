// Text to token ids and back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/readers.h"

namespace evenkeel::data {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // Thread-safe. `add_special`: BOS/EOS as the tokenizer's own files say (a SentencePiece model alone says none).
  // DataError for text that is no UTF-8, or that the tokenizer cannot encode.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special) const = 0;
  // Text alone, without BOS or EOS: what looks like a special token in it is text, as far as the kind of file can tell
  // (a SentencePiece model cannot, of its user-defined symbols). `starts_text`: nothing stands before it; else it is
  // encoded as behind a special token. Thread-safe; errors as encode.
  virtual std::vector<int32_t> encode_text(std::string_view text, bool starts_text) const = 0;
  virtual std::string decode(const std::vector<int32_t>& ids) const = 0;  // DataError on an id out of range
  // What an id stands for, by itself: the piece with its spaces (decoding drops the first one of a text for some
  // models), a byte that is no character of its own as <0xE2>, a control piece by its name. DataError on an id out of
  // range.
  virtual std::string piece(int32_t id) const = 0;
  virtual int64_t vocab_size() const = 0;
  virtual std::optional<int32_t> begin_of_document() const = 0;  // what the files name as BOS
  virtual std::optional<int32_t> end_of_document() const = 0;    // what the files name as end of text
  virtual std::optional<int32_t> id_of(std::string_view piece) const = 0;
  virtual std::string kind() const = 0;            // for people: "SentencePiece model"
  virtual std::string sha256() const = 0;          // of the tokenizer's file
  virtual std::filesystem::path path() const = 0;  // of that file, as it was opened
};

// A file of one of the kinds in data/tokenizers, told by its content, or a folder that holds one. DataError names the
// path and what was found.
std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& path);
// The tokenizer.json and the tokenizer.model of a folder, those that are there; a folder is opened by the first of
// them, else by its only *.model or *.tiktoken.
std::vector<std::filesystem::path> tokenizer_files(const std::filesystem::path& folder);

struct TokenizerTraining {
  std::string kind = "unigram";  // or "bpe"
  int64_t vocab_size = 0;
  int64_t max_sentences = 0;  // 0: all lines
  int64_t n_threads = 0;      // cores to use, 0: all; the model does not depend on it
  ReaderOptions reader = {};  // but for its document_separator: every line of text is a sentence
};
// SentencePiece with byte fallback; identity normalisation, whitespace kept, newline is a piece; the end-of-document
// piece is "</s>". What it encodes decodes to the same bytes, but for U+2581, SentencePiece's own sign for a space.
// Learns from lines, cut at 4,192 bytes. Deterministic for the same inputs. Writes `out` atomically.
void train_tokenizer(const TokenizerTraining& options, const std::vector<std::filesystem::path>& inputs,
                     const std::filesystem::path& out);

}  // namespace evenkeel::data
