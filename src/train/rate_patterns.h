// What `freeze` and `slow` of a phase say.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "train/config.h"

namespace evenkeel::train {

// Each pattern with its factor on the learning rate: those of `freeze` with 0, then those of `slow`. ConfigError for
// what is no factor. PhaseConfig::rate_factors holds them against the parameters of a model.
std::vector<std::pair<std::string, double>> slow_patterns(const PhaseConfig& phase);

}  // namespace evenkeel::train
