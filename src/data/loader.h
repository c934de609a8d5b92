// Batches of training.
#pragma once

#include "data/sampler.h"

namespace evenkeel::data {

struct LoaderOptions : SamplerOptions {
  bool document_ids = false;  // the documents of a text are kept apart
};

// The sampler's sequences in batches, as their objectives make them.
class Loader {
 public:
  // Sources are opened and checked as by Sampler, with its errors.
  Loader(const LoaderOptions& options, const PhaseDraws& draws, SamplerState state, Datasets& datasets);
  // std::logic_error where an objective takes more text than a sequence has, or makes what it does not say that it
  // needs.
  Batch next(int64_t batch_size);
  const Sampler& sampler() const { return sampler_; }
  const SamplerState& state() const { return sampler_.state(); }

 private:
  LoaderOptions options_;
  Sampler sampler_;
};

}  // namespace evenkeel::data
