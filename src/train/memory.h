// What training takes, before anything is allocated.
#pragma once

#include "core/json.h"
#include "train/config.h"

namespace evenkeel::train {

struct MemoryEstimate {
  double parameters = 0, gradients = 0, optimizer = 0, activations = 0, logits = 0;  // bytes
  double total() const { return parameters + gradients + optimizer + activations + logits; }
};
// fp32 parameters, gradients and two moments; activations that a micro-batch keeps for its backward pass, or what a router
// that plans the whole step needs for a pass over it, where that is more.
MemoryEstimate estimate_memory(const RunConfig& config);
Json to_json(const MemoryEstimate& estimate);

double machine_memory_bytes();  // 0 when unknown
// ConfigError when `bytes` is more than the machine has.
void require_memory(double bytes, const std::string& what);

}  // namespace evenkeel::train
