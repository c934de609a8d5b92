// Where the phases of a run lie, what each starts from, and what it draws from.
#pragma once

#include <filesystem>
#include <vector>

#include "data/loader.h"
#include "train/state.h"

namespace evenkeel::train {

// First global step (from 1) of each phase and, last, the step after the end.
std::vector<int64_t> phase_first_steps(const RunConfig& config);

// Where phase `index` starts: a folder outside of the run, or a step of this run (0 = initialisation).
struct PhaseStart {
  std::filesystem::path folder;  // empty: the run's own step
  int64_t step = 0;
  bool resets_optimizer = false;
};
// The folder outside of the run that phase `index` starts from, absolute; empty where it is a step of the run.
std::string external_start(const RunConfig& config, size_t index);
// ConfigError for a name, step or folder that is not there.
PhaseStart phase_start(const RunConfig& config, size_t index);

// What a phase draws from, with the replay resolved. `records`: the phases begun so far, this one last.
data::PhaseDraws phase_draws(const RunConfig& config, const PhaseConfig& phase, const std::vector<PhaseRecord>& records);

}  // namespace evenkeel::train
