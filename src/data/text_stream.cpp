#include "data/text_stream.h"

#include <algorithm>

#include "core/rng.h"

namespace evenkeel::data {
namespace {

// Adds tokens first .. first+n_tokens-1 of the file.
void append_tokens(const IndexedDataset& dataset, int64_t first, int64_t n_tokens, Text& out) {
  std::vector<int64_t> tokens(static_cast<size_t>(n_tokens) + 1);
  dataset.copy(first, n_tokens + 1, tokens.data());
  out.tokens.insert(out.tokens.end(), tokens.begin(), tokens.end() - 1);
  out.following.insert(out.following.end(), tokens.begin() + 1, tokens.end());
}

// And their documents. `base`: the document that is numbered 0.
void append_documents(const IndexedDataset& dataset, int64_t first, int64_t n_tokens, int64_t base, Text& out) {
  for (int64_t token = first; token < first + n_tokens; ++token)
    out.documents.push_back(static_cast<int32_t>(dataset.document_of(token) - base));
}

}  // namespace

Text read_text(const IndexedDataset& dataset, int64_t first, int64_t n_tokens, bool with_documents) {
  Text out;
  append_tokens(dataset, first, n_tokens, out);
  // Counted from the first token's document, so that the numbers fit and do not depend on the file's size.
  if (with_documents) append_documents(dataset, first, n_tokens, dataset.document_of(first), out);
  return out;
}

Json to_json(const TextCursor& cursor) {
  if (cursor.tokens == 0 && cursor.examples == cursor.samples) return cursor.samples;
  return Json::Object{{"samples", cursor.samples}, {"tokens", cursor.tokens}, {"examples", cursor.examples}};
}

TextCursor text_cursor_from_json(const Json& json) {
  if (!json.is_object()) return {json.as_int(), 0, json.as_int()};
  return {json.at("samples").as_int(), json.at("tokens").as_int(), json.at("examples").as_int()};
}

TextStream::TextStream(const IndexedDataset& dataset, int64_t block_tokens, TextOrder order)
    : dataset_(&dataset),
      block_tokens_(block_tokens),
      n_blocks_((dataset.n_tokens() - 1) / block_tokens),
      order_(order) {}

TextStream TextStream::once(const IndexedDataset& dataset, uint64_t seed) {
  TextStream out(dataset, std::max<int64_t>(dataset.n_tokens() - 1, 1), {seed, /*shuffle=*/false});
  out.n_blocks_ = 1;
  out.end_ = std::max<int64_t>(dataset.n_tokens() - 1, 0);
  return out;
}

int64_t TextStream::block_of(int64_t position) const {
  const int64_t number = position / block_tokens_, epoch = number / n_blocks_, index = number % n_blocks_;
  if (!order_.shuffle) return index;
  const uint64_t key = combine_bits(order_.seed, static_cast<uint64_t>(epoch));
  return static_cast<int64_t>(permuted_index(static_cast<uint64_t>(index), static_cast<uint64_t>(n_blocks_), key));
}

void TextStream::advance(TextCursor& cursor, int64_t position) const {
  cursor = {position / block_tokens_, position % block_tokens_, cursor.examples + 1};
}

Text TextStream::read(const TextPiece& piece, bool with_documents) const {
  if (piece.in_file) {
    Text out = read_text(*dataset_, *piece.in_file, piece.n_tokens, with_documents);
    if (const ScoredParts* scored = dataset_->scored()) {
      out.scored.resize(out.tokens.size());
      scored->copy(*piece.in_file + 1, piece.n_tokens, out.scored.data());
    }
    return out;
  }
  Text out;
  int64_t left = piece.n_tokens, position = piece.begin, before = -1, base = 0;
  while (left > 0) {
    const int64_t in_block = position % block_tokens_, n_tokens = std::min(left, block_tokens_ - in_block);
    const int64_t first = block_of(position) * block_tokens_ + in_block;
    append_tokens(*dataset_, first, n_tokens, out);
    if (with_documents) {
      if (before < 0) base = dataset_->document_of(first);
      if (before >= 0 && first != before) base = dataset_->document_of(first) - (out.documents.back() + 1);
      append_documents(*dataset_, first, n_tokens, base, out);
    }
    before = first + n_tokens;
    position += n_tokens;
    left -= n_tokens;
  }
  return out;
}

}  // namespace evenkeel::data
