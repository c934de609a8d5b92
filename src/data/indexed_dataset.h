// Megatron's .bin/.idx pair of token ids, version 1 (docs/formats.md). Read from mapped files; every size
// and offset is checked before use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/content_hash.h"
#include "core/file_io.h"
#include "core/json.h"
#include "data/scored_parts.h"

namespace evenkeel::data {

// What one pass over a whole set finds.
struct Contents {
  std::string hash;                          // core/content_hash.h, of .idx, .bin and, where there is one, .scored
  int64_t smallest_id = 0, largest_id = -1;  // 0 and -1 of an empty set
  bool operator==(const Contents&) const = default;
};

class IndexedDataset {
 public:
  // DataError names the file, what was found and what was needed (magic, version, type code, sizes that
  // disagree, offsets that are no prefix sums, document bounds out of order).
  static IndexedDataset open(const std::filesystem::path& prefix);
  // The same without PREFIX.json: of a pair whose description is yet to be written, with a .scored or without.
  static IndexedDataset open_tokens(const std::filesystem::path& prefix, bool has_scored = false);

  int64_t n_tokens() const { return n_tokens_; }
  int64_t n_sequences() const { return n_sequences_; }
  int64_t n_documents() const { return n_documents_; }
  // Copies tokens first .. first+count-1 of the concatenated stream. The range must lie inside.
  void copy(int64_t first, int64_t count, int64_t* out) const;
  // What was copied of these tokens need not stay in memory.
  void release(int64_t first, int64_t count) const;
  // Which tokens are scored, of a pair whose PREFIX.json says that there is a PREFIX.scored; else nullptr.
  const ScoredParts* scored() const { return scored_ ? &*scored_ : nullptr; }
  // For those who use it, before they do: DataError where there is none, or where it is not the file whose hash
  // PREFIX.json has.
  const ScoredParts& checked_scored() const;
  // The document (0-based) of a token of the stream; documents without tokens are never returned.
  int64_t document_of(int64_t token) const;
  // The first token of a document; n_tokens() for n_documents(). An empty one begins where the next one does.
  int64_t document_start(int64_t document) const { return document_starts_.at(static_cast<size_t>(document)); }
  // The first document that begins at a token or behind it; n_documents() where none does.
  int64_t first_document_from(int64_t token) const;
  // Reads the whole set once, by all cores, and remembers what it found; not for two threads at a time. What
  // PREFIX.json or `trust` says stands in for the reading.
  const Contents& contents() const;
  // What contents() found, with the sizes and times of the files that it was found in, for `trust` of a later process.
  Json contents_record() const;
  // Takes over a record whose sizes and times are those of the files now; false, and nothing changes, where they are
  // others.
  bool trust(const Json& record);
  // DataError when an id of the set is outside 0 .. vocab_size-1.
  void check_vocabulary(int64_t vocab_size) const;
  // The same for the tokens 0 .. n_tokens-1 alone, for those who read no more.
  void check_vocabulary(int64_t vocab_size, int64_t n_tokens) const;
  // Decides the order in which samples are drawn: a hash of the sizes and of samples of both files, not of the path.
  // Two sets that differ may share it; contents().hash tells them apart.
  const std::string& order_key() const { return order_key_; }
  const std::filesystem::path& prefix() const { return prefix_; }
  // Bytes of text that the tokens stand for, from PREFIX.json; 0 where it is absent.
  int64_t text_bytes() const { return text_bytes_; }
  // SHA-256 and file of the tokenizer, from PREFIX.json; "" where it is absent.
  const std::string& tokenizer_sha256() const { return tokenizer_sha256_; }
  const std::string& tokenizer() const { return tokenizer_; }

 private:
  void take_description();
  void take_scored();
  void require_ids(int64_t vocab_size, int64_t n_tokens) const;
  std::filesystem::path prefix_;
  MappedFile index_, tokens_;
  std::optional<ScoredParts> scored_;
  std::string scored_sha256_;       // that PREFIX.json has
  bool is_scored_trusted_ = false;  // its size and time are those of when it was written
  int64_t n_tokens_ = 0, n_sequences_ = 0, n_documents_ = 0, text_bytes_ = 0;
  int item_bytes_ = 0;
  bool is_signed_ = false;
  std::vector<int64_t> document_starts_;  // token offset of each document, ascending, and the end
  std::string order_key_, tokenizer_sha256_, tokenizer_;
  std::vector<FileStamp> stamps_;  // of .idx, .bin and .scored
  mutable std::optional<Contents> contents_;
};

// Writes PREFIX.bin while documents arrive and PREFIX.idx at commit, both atomically. u16 when
// vocab_size < 65,500, else i32. DataError on an id outside the vocabulary. A document is one sequence; a sequence's
// length has 32 bits, and a document of more than `most_sequence_tokens` takes several.
class IndexedDatasetWriter {
 public:
  IndexedDatasetWriter(const std::filesystem::path& prefix, int64_t vocab_size,
                       int64_t most_sequence_tokens = int64_t{1} << 30);
  void add_document(const std::vector<int32_t>& ids);
  // The same piece by piece: ids of the document that is open, and its end.
  void add_ids(std::span<const int32_t> ids);
  void end_document();
  int64_t n_tokens() const { return n_tokens_; }
  int64_t n_sequences() const { return static_cast<int64_t>(lengths_.size()); }
  int64_t n_documents() const { return n_sequences() - static_cast<int64_t>(continuing_.size()); }
  void finish();  // all is on the disk, under temporary names; only commit() may follow
  void commit();

 private:
  void end_sequence(int64_t n_tokens);
  std::filesystem::path prefix_;
  std::unique_ptr<AtomicFile> tokens_, index_;
  int64_t vocab_size_;
  bool is_u16_;
  int64_t most_sequence_tokens_;
  std::vector<int32_t> lengths_;     // of each sequence
  std::vector<int64_t> continuing_;  // the sequences that are not the first of their document, ascending
  int64_t open_tokens_ = 0;          // of the sequence that is yet to be counted in lengths_
  bool is_continuing_ = false;       // whether that one is such
  std::vector<uint16_t> narrow_;     // room for what is written
  int64_t n_tokens_ = 0;
};

}  // namespace evenkeel::data
