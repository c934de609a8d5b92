// A stream of ids, cut into the documents of a pair.
#pragma once

#include <cstdint>
#include <span>

#include "data/indexed_dataset.h"
#include "data/token_files/registry.h"

namespace evenkeel::data {

class DocumentCutter {
 public:
  // By `eod`, as `mark` says; with DocumentMark::none a document ends where its file ends. `writer` must outlive it.
  DocumentCutter(IndexedDatasetWriter& writer, DocumentMark mark, int32_t eod)
      : writer_(writer), mark_(mark), eod_(eod) {}
  void add(std::span<const int32_t> ids);  // of one file, in pieces of any size
  void end_file();
  void finish();                                  // ends the last document
  int64_t n_marks() const { return n_marks_; }    // end-of-document ids that were met
  int64_t n_joined() const { return n_joined_; }  // files that begin within a document of the file before

 private:
  void put(std::span<const int32_t> ids);
  void end_document();
  IndexedDatasetWriter& writer_;
  DocumentMark mark_;
  int32_t eod_;
  bool has_open_ = false;    // whether the document that is open has ids
  bool is_at_start_ = true;  // of a file
  int64_t n_marks_ = 0, n_joined_ = 0;
};

}  // namespace evenkeel::data
