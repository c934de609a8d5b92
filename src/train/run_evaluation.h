// The evaluations of a run, each at its time and written once.
#pragma once

#include "train/run_setting.h"
#include "train/run_sinks.h"

namespace evenkeel::train {

// Where the weights come from elsewhere, what they can is measured before they change, on the held-out sets
// of all phases: forgetting counts from there.
void evaluate_before_training(const RunSetting& setting, const TrainState& state, RunSinks& sinks);

// What is due at the state's step: the held-out sets, and at the end of a phase saturation. What the metrics have of
// the step is not made again.
void evaluate_what_is_due(const RunSetting& setting, const TrainState& state, RunSinks& sinks);

}  // namespace evenkeel::train
