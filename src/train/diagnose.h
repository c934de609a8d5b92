// A look at the first micro-batch before training: losses and routers that would do nothing, silently.
#pragma once

#include <string>
#include <vector>

#include "train/step.h"

namespace evenkeel::train {

// One line for each: a router whose weights get no gradient from the loss; a balance or z coefficient that
// has no path to any router; a router that needs a balance loss and has none. Empty when all is well.
// Parameters and their gradients are left as they were.
std::vector<std::string> diagnose(const model::Transformer& model, const optim::RateFactors& factors, const data::Batch& batch, const TrainState& state);

}  // namespace evenkeel::train
