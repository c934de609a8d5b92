// What training takes, before anything is allocated.
#pragma once

#include <string>

#include "core/json.h"
#include "train/config.h"

namespace evenkeel::train {

// The peak of a run's memory (RSS) in bytes: what each holder has at the moment when all together have most. fp32
// throughout.
struct MemoryEstimate {
  double program = 0;      // evenkeel, LibTorch and their threads
  double parameters = 0;   // as are the next two, of this model
  double gradients = 0;    // those that are there at that moment
  double optimizer = 0;    // its moments, and what an update has in hand
  double activations = 0;  // of a micro-batch: kept for the backward pass, and what that pass has in hand
  double masks = 0;        // of separate_documents: [B, 1, S, S], one for all layers
  double logits = 0;       // a chunk of the head, and the gradients that its forward pass makes
  double other_model = 0;  // the one that saturation compares with
  std::string moment;      // "backward pass", "update", "first look", "plan of the step" or "saturation"
  double total() const {
    return program + parameters + gradients + optimizer + activations + masks + logits + other_model;
  }
};
// Not counted: pages of mapped data files, which the kernel can take back.
MemoryEstimate estimate_memory(const RunConfig& config);
Json to_json(const MemoryEstimate& estimate);

}  // namespace evenkeel::train
