#include "data/window_reader.h"

#include <algorithm>

namespace evenkeel::data {

WindowReader::WindowReader(const IndexedDataset& dataset, int64_t sequence_length, int64_t max_tokens,
                           bool document_ids)
    : dataset_(dataset),
      sequence_length_(sequence_length),
      n_scored_(std::max<int64_t>(dataset.n_tokens() - 1, 0)),
      document_ids_(document_ids),
      causal_(make_objective({}, {.sequence_length = sequence_length})) {
  if (max_tokens > 0) n_scored_ = std::min(n_scored_, max_tokens);
}

Batch WindowReader::next(int64_t batch_size) {
  const int64_t left = n_scored_ - position_;
  const int64_t length = std::min(left, sequence_length_);
  const int64_t rows = length == sequence_length_ ? std::min(batch_size, left / sequence_length_) : (left > 0 ? 1 : 0);
  std::vector<Example> windows;
  for (int64_t row = 0; row < rows; ++row, position_ += length)
    windows.push_back(causal_->example({}, read_text(dataset_, position_, length, document_ids_)));
  return batch_of(windows, length);
}

}  // namespace evenkeel::data
