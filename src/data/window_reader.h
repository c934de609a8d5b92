// The text of a held-out set, window by window.
#pragma once

#include "data/objectives/objective.h"

namespace evenkeel::data {

// Sequential windows over a data set for evaluation: window j feeds tokens jS .. jS+S-1 and scores
// jS+1 .. jS+S; the last window may be shorter. At most max_tokens scored tokens (0 = all).
class WindowReader {
 public:
  WindowReader(const IndexedDataset& dataset, int64_t sequence_length, int64_t max_tokens, bool document_ids);
  int64_t n_scored_tokens() const { return n_scored_; }
  // At most `batch_size` windows of equal length; an empty batch (tokens.size(0) == 0) at the end.
  Batch next(int64_t batch_size);

 private:
  const IndexedDataset& dataset_;
  int64_t sequence_length_, n_scored_, position_ = 0;
  bool document_ids_;
  std::unique_ptr<Objective> causal_;
};

}  // namespace evenkeel::data
