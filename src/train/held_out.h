// What a run writes of its held-out sets: the lines of metrics.jsonl that are no steps.
#pragma once

#include "record/run_lines.h"
#include "train/inputs.h"
#include "train/state.h"

namespace evenkeel::train {

// A model in the middle of a run, and what it is held against.
struct HeldOut {
  const RunConfig& config;
  const PhaseConfig& phase;  // with its `eval`, but for a baseline
  const model::Transformer& model;
  const TrainState& state;
  const InputData& data;
};

// NumericsError as evaluate().
record::EvaluationRow evaluation_line(const HeldOut& held_out);
// What every change of the run is measured from: the held-out sets of all of its phases, each as the first phase that
// has it evaluates it. Empty where no phase has any.
record::EvaluationRow baseline_line(const HeldOut& held_out);

// Of the routers between `start`, which has the parameters and router states that the phase began with, and now.
record::SaturationRow saturation_line(const HeldOut& held_out, const TrainState& start);

}  // namespace evenkeel::train
