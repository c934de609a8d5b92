// A look at the first micro-batch before training: losses and routers that would do nothing, silently. And a shorter one while
// it runs: routers that have collapsed.
#pragma once

#include <string>
#include <vector>

#include "train/step.h"

namespace evenkeel::train {

// One line for each: a router whose weights get no gradient from the loss; a balance or z coefficient that
// has no path to any router; a router that needs a balance loss and has none; and what find_collapse finds. Empty when
// all is well. Parameters and their gradients are left as they were.
std::vector<std::string> diagnose(const model::Transformer& model, const optim::RateFactors& factors, const data::Batch& batch, const TrainState& state);

// One line, naming the layers, for each: nearly all tokens have the same k experts; nearly all have one and the same expert among
// their k; the scores of a sigmoid or sqrtsoftplus router have shrunk to nearly 0. Costs a forward pass of the micro-batch.
std::vector<std::string> find_collapse(const model::Transformer& model, const data::Batch& batch, const TrainState& state);

}  // namespace evenkeel::train
