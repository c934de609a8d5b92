#include "data/loader.h"

#include <utility>

namespace evenkeel::data {

Loader::Loader(const LoaderOptions& options, const PhaseDraws& draws, SamplerState state, Datasets& datasets)
    : options_(options), sampler_(options, draws, std::move(state), datasets) {}

Batch Loader::next(int64_t batch_size) {
  const int64_t S = options_.sequence_length;
  std::vector<Example> sequences;
  std::map<std::string, int64_t> sources;
  for (int64_t row = 0; row < batch_size; ++row) {
    const auto draw = sampler_.next();
    sequences.push_back(make_sequence({draw.objective, draw.stream, S}, draw.examples, options_.document_ids));
    ++sources[draw.source];
  }
  Batch batch = batch_of(sequences, S);
  batch.sources = std::move(sources);
  return batch;
}

}  // namespace evenkeel::data
