#include "data/loader.h"

#include <stdexcept>
#include <utility>

namespace evenkeel::data {

Loader::Loader(const LoaderOptions& options, const PhaseDraws& draws, SamplerState state, Datasets& datasets)
    : options_(options), sampler_(options, draws, std::move(state), datasets) {
  if (!options_.objective) options_.objective = make_objective({}, {options.sequence_length, options.vocab_size});
}

Batch Loader::next(int64_t batch_size) {
  const int64_t S = options_.sequence_length;
  const Objective& objective = *options_.objective;
  std::vector<Example> examples;
  std::map<std::string, int64_t> sources;
  for (int64_t row = 0; row < batch_size; ++row) {
    const auto draw = sampler_.next();
    const int64_t n_tokens = objective.text_tokens(draw.example);
    if (n_tokens < 1 || n_tokens > S) throw std::logic_error("an objective takes more text than a sample has, or none");
    const auto text = read_text(draw.dataset, draw.sample * S, n_tokens, options_.document_ids);
    examples.push_back(objective.example(draw.example, text));
    ++sources[draw.source];
  }
  Batch batch = batch_of(examples, S);
  const bool has_own_documents = batch.document_ids.defined() && !options_.document_ids;
  if ((batch.is_prefix.defined() || has_own_documents) && !objective.needs_masks())
    throw std::logic_error("an objective needs masks and does not say so");
  batch.sources = std::move(sources);
  return batch;
}

}  // namespace evenkeel::data
