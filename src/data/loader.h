// Batches of training.
#pragma once

#include "data/objectives/objective.h"
#include "data/sampler.h"

namespace evenkeel::data {

struct LoaderOptions : SamplerOptions {
  bool document_ids = false;
  std::shared_ptr<const Objective> objective = nullptr;  // none: causal
};

// The sampler's samples in batches, as the objective makes them.
class Loader {
 public:
  // Sources are opened and checked as by Sampler, with its errors.
  Loader(const LoaderOptions& options, const PhaseDraws& draws, SamplerState state, Datasets& datasets);
  // std::logic_error where the objective takes more text than a sample has, or makes what it does not say that it
  // needs.
  Batch next(int64_t batch_size);
  const Sampler& sampler() const { return sampler_; }
  const SamplerState& state() const { return sampler_.state(); }

 private:
  LoaderOptions options_;
  Sampler sampler_;
};

}  // namespace evenkeel::data
