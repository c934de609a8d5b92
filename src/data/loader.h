// Batches of training and of evaluation.
#pragma once

#include "data/objectives/objective.h"
#include "data/sampler.h"

namespace evenkeel::data {

struct LoaderOptions : SamplerOptions {
  bool document_ids = false;
  std::shared_ptr<const Objective> objective = make_objective({}, {});
};

// The sampler's samples in batches, as the objective makes them.
class Loader {
 public:
  // Sources are opened and checked as by Sampler, with its errors.
  Loader(const LoaderOptions& options, const PhaseDraws& draws, SamplerState state, Datasets& datasets)
      : options_(options), sampler_(options, draws, std::move(state), datasets) {}
  Batch next(int64_t batch_size);
  const Sampler& sampler() const { return sampler_; }
  const SamplerState& state() const { return sampler_.state(); }

 private:
  LoaderOptions options_;
  Sampler sampler_;
};

}  // namespace evenkeel::data
