// Megatron's .bin/.idx pair of token ids, version 1 (docs/formats.md). Read from mapped files; every size
// and offset is checked before use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/file_io.h"

namespace evenkeel::data {

class IndexedDataset {
 public:
  // DataError names the file, what was found and what was needed (magic, version, type code, sizes that
  // disagree, offsets that are no prefix sums, document bounds out of order).
  static IndexedDataset open(const std::filesystem::path& prefix);

  int64_t n_tokens() const { return n_tokens_; }
  int64_t n_sequences() const { return n_sequences_; }
  int64_t n_documents() const { return n_documents_; }
  // Copies tokens first .. first+count-1 of the concatenated stream. The range must lie inside.
  void copy(int64_t first, int64_t count, int64_t* out) const;
  // The document (0-based) of a token of the stream; documents without tokens are never returned.
  int64_t document_of(int64_t token) const;
  int64_t max_token() const;  // the largest id of the whole set, -1 when it is empty; reads it once
  // DataError when an id of the set is outside 0 .. vocab_size-1; reads the set once.
  void check_vocabulary(int64_t vocab_size) const;
  // Identity of the content: a hash of the sizes and of samples of both files. Not of the path.
  const std::string& fingerprint() const { return fingerprint_; }
  const std::filesystem::path& prefix() const { return prefix_; }
  // Bytes of text that the tokens stand for, from PREFIX.json; 0 where it is absent.
  int64_t text_bytes() const { return text_bytes_; }

 private:
  std::filesystem::path prefix_;
  MappedFile index_, tokens_;
  int64_t n_tokens_ = 0, n_sequences_ = 0, n_documents_ = 0, text_bytes_ = 0;
  int item_bytes_ = 0;
  bool is_signed_ = false;
  std::vector<int64_t> document_starts_;  // token offset of each document, ascending, and the end
  std::string fingerprint_;
};

// Writes PREFIX.bin while documents arrive and PREFIX.idx at commit, both atomically. u16 when
// vocab_size < 65,500, else i32. DataError on an id outside the vocabulary.
class IndexedDatasetWriter {
 public:
  IndexedDatasetWriter(const std::filesystem::path& prefix, int64_t vocab_size);
  void add_document(const std::vector<int32_t>& ids);  // one sequence a document
  int64_t n_tokens() const { return n_tokens_; }
  int64_t n_documents() const { return static_cast<int64_t>(lengths_.size()); }
  void finish();  // all is on the disk, under temporary names; only commit() may follow
  void commit();

 private:
  std::filesystem::path prefix_;
  std::unique_ptr<AtomicFile> tokens_, index_;
  int64_t vocab_size_;
  bool is_u16_;
  std::vector<int32_t> lengths_;
  int64_t n_tokens_ = 0;
};

}  // namespace evenkeel::data
