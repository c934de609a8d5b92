#include "data/sequence_reader.h"

#include <algorithm>
#include <utility>

namespace evenkeel::data {

SequenceReader::SequenceReader(const IndexedDataset& dataset, const Objective& objective,
                               const SequenceReaderOptions& options)
    : objective_(objective), options_(options), stream_(TextStream::once(dataset, options.seed)) {
  objective.check_set(dataset, dataset.prefix().string());
  left_ = options.max_tokens > 0 ? options.max_tokens : std::numeric_limits<int64_t>::max();
  const int64_t most = left_;
  while (next_sequence()) ++n_sequences_;
  n_scored_ = most - left_;
  left_ = n_scored_;
  cursor_ = {};
}

std::optional<Example> SequenceReader::next_sequence() {
  if (left_ == 0) return std::nullopt;
  const SequencePlace place{objective_, stream_, options_.sequence_length};
  const auto drawn = draw_examples(place, cursor_);
  if (drawn.empty()) return std::nullopt;
  Example out = make_sequence(place, drawn, options_.document_ids);
  for (int64_t& target : out.targets) {
    if (target < 0) continue;
    if (left_ == 0) target = -1;
    if (left_ > 0) --left_;
  }
  return out;
}

Batch SequenceReader::next(int64_t batch_size) {
  std::vector<Example> sequences;
  while (static_cast<int64_t>(sequences.size()) < batch_size) {
    auto sequence = next_sequence();
    if (!sequence) break;
    sequences.push_back(std::move(*sequence));
  }
  return batch_of(sequences, options_.sequence_length);
}

}  // namespace evenkeel::data
