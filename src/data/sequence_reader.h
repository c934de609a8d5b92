// A held-out set, sequence by sequence, as an objective makes them; windows of causal text are read by WindowReader.
#pragma once

#include "data/packing.h"

namespace evenkeel::data {

struct SequenceReaderOptions {
  int64_t sequence_length = 0;
  int64_t max_tokens = 0;  // scored ones; 0 = all
  bool document_ids = false;
  // Of all that is random: the same for every checkpoint and every run, so that their losses compare.
  uint64_t seed = 0;
};

// The whole set once, in the order of the file. What is left at its end makes a shorter example, where it makes one.
class SequenceReader {
 public:
  // Makes every sequence once, to count. DataError as of Objective::check_set, with the set's prefix as its place.
  SequenceReader(const IndexedDataset& dataset, const Objective& objective, const SequenceReaderOptions& options);
  int64_t n_scored_tokens() const { return n_scored_; }  // at most max_tokens
  int64_t n_sequences() const { return n_sequences_; }
  // At most `batch_size` sequences, each sequence_length long; an empty batch (tokens.size(0) == 0) at the end. The
  // last sequence has no targets beyond max_tokens.
  Batch next(int64_t batch_size);

 private:
  std::optional<Example> next_sequence();
  const Objective& objective_;
  SequenceReaderOptions options_;
  TextStream stream_;
  TextCursor cursor_ = {};
  int64_t n_scored_ = 0, n_sequences_ = 0, left_ = 0;  // left_: scored tokens yet to come
};

}  // namespace evenkeel::data
