// A phase that is being run: what it draws, and how fast it learns.
#pragma once

#include <memory>

#include "optim/schedule.h"
#include "train/run_setting.h"

namespace evenkeel::train {

struct PhaseRun {
  const PhaseConfig& config;
  std::unique_ptr<optim::Schedule> schedule;
  std::unique_ptr<optim::Optimizer> optimizer;
  optim::RateFactors factors;  // on the learning rate, by parameter
  std::unique_ptr<data::Loader> loader;
};

// The phase that the state stands in. At its first step it begins: its start is loaded, and the state's records get one
// more.
PhaseRun begin_phase(const RunSetting& setting, TrainState& state);

// The micro-batches of the next step, on the device. The state's cursors move on.
std::vector<data::Batch> next_batches(const RunSetting& setting, PhaseRun& phase, TrainState& state);

// Sequences of each source in a step.
std::map<std::string, int64_t> source_counts(const std::vector<data::Batch>& batches);

// Whether something that is made every so often in a phase is due at the state's step.
bool is_due(const RunConfig& config, const Duration& every, const TrainState& state);
// Whether the held-out sets are: at the phase's own rhythm, and at its end.
bool is_evaluation_due(const RunSetting& setting, const TrainState& state);

}  // namespace evenkeel::train
