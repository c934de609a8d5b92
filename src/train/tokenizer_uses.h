// The tokenizers that a run's sets and models were made with, and where their files lie.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/model_source.h"
#include "data/datasets.h"
#include "train/config.h"

namespace evenkeel::train {

// Each tokenizer that the model of a MODEL argument, start.from or [model] from is known to be trained with, as `name`.
// Its file may lie at one of checkpoint::tokenizer_places().
std::vector<data::TokenizerUse> tokenizer_uses(const std::string& name, const checkpoint::ModelSource& source);

// Those of the sets that the phases of a recipe draw from, replay and evaluation among them, whose descriptions are
// there.
std::vector<data::TokenizerUse> tokenizer_uses_of_sets(const RunConfig& config);

// The file of the largest tokenizer among those of the sets whose file is there; "" where none is.
std::string largest_tokenizer(const RunConfig& config);

}  // namespace evenkeel::train
