// The text of a source as one stream, in which every objective draws.
//
// An epoch's stream is the source's blocks of `block_tokens` tokens, in the order of the epoch's permutation, joined;
// the stream of the next epoch follows it. Block j is tokens j*b .. j*b+b-1 of the file, and what the file has beyond
// its last whole block, a token at least, is no text of the stream. A position counts tokens of the stream from the
// first epoch on. Where a block ends, the stream goes on with another one, but each token is still followed, as a
// target, by the one that follows it in the file.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "data/indexed_dataset.h"

namespace evenkeel::data {

// A piece of text.
struct Text {
  std::vector<int64_t> tokens;
  std::vector<int64_t> following;  // of each token the one that follows it in the file
  // Of each token its document, from 0; empty where documents are not kept apart. Blocks that are no neighbours in the
  // file are of different documents.
  std::vector<int32_t> documents = {};
  std::vector<uint8_t> scored = {};  // of each following token, from PREFIX.scored; empty where nobody asked
};
// Of tokens first .. first+n_tokens-1 of a set; the one that follows them must lie inside too.
Text read_text(const IndexedDataset& dataset, int64_t first, int64_t n_tokens, bool with_documents);

// How much of a set's text was drawn in the whole run.
struct TextCursor {
  int64_t samples = 0;   // whole blocks of the stream
  int64_t tokens = 0;    // of the block after them, fewer than it has
  int64_t examples = 0;  // that were made of all that; as many as samples where each took one block
  bool operator==(const TextCursor&) const = default;
};
// A number where examples and samples are as many and nothing is left over, as earlier versions have it; else an
// object.
Json to_json(const TextCursor& cursor);
TextCursor text_cursor_from_json(const Json& json);

// What an example takes of a stream.
struct TextPiece {
  int64_t begin = 0, end = 0;  // positions: the stream goes on at `end` once the example is drawn
  int64_t n_tokens = 0;        // of its text
  // The text's first token in the file, where it lies there in one piece, which may reach beyond `end`; it is then read
  // with what PREFIX.scored says. None: the text is that of the stream from `begin` on.
  std::optional<int64_t> in_file = {};
  int64_t length = 0;  // tokens of a sequence that the example is
};

// The order of a stream.
struct TextOrder {
  uint64_t seed = 0;    // of the run and the set
  bool shuffle = true;  // false: blocks in the order of the file
};

class TextStream {
 public:
  TextStream(const IndexedDataset& dataset, int64_t block_tokens, TextOrder order);
  // The whole set once, in the order of the file: one block of all tokens but the last.
  static TextStream once(const IndexedDataset& dataset, uint64_t seed);

  const IndexedDataset& dataset() const { return *dataset_; }
  uint64_t seed() const { return order_.seed; }
  int64_t block_tokens() const { return block_tokens_; }
  int64_t n_blocks() const { return n_blocks_; }  // of the file, and of an epoch
  int64_t end() const { return end_; }            // the position where the text ends; that of a training never does
  int64_t epoch_of(int64_t position) const { return position / block_tokens_ / n_blocks_; }
  int64_t block_of(int64_t position) const;  // of the file
  int64_t position(const TextCursor& cursor) const { return cursor.samples * block_tokens_ + cursor.tokens; }
  // One example more was drawn, and the stream goes on at `position`.
  void advance(TextCursor& cursor, int64_t position) const;
  Text read(const TextPiece& piece, bool with_documents) const;

 private:
  const IndexedDataset* dataset_;
  int64_t block_tokens_, n_blocks_;
  TextOrder order_;
  int64_t end_ = std::numeric_limits<int64_t>::max();
};

}  // namespace evenkeel::data
