// What a run writes of its held-out sets: the lines of metrics.jsonl that are no steps.
#pragma once

#include "core/json.h"
#include "train/inputs.h"
#include "train/state.h"

namespace evenkeel::train {

// A model in the middle of a run, and what it is held against.
struct HeldOut {
  const RunConfig& config;
  const PhaseConfig& phase;  // with its `eval`
  const model::Transformer& model;
  const TrainState& state;
  const InputData& data;
};

// {"step", "phase", "tokens", "eval": {NAME: loss, perplexity, …, routing}}. NumericsError as evaluate().
Json evaluation_line(const HeldOut& held_out);

// {"step", "phase", "saturation": {NAME: [{"layer", "k", "from", "to", "saturation", "chance"}]}}: of the routers between `start`, which has the
// parameters and router states that the phase began with, and now.
Json saturation_line(const HeldOut& held_out, const TrainState& start);

}  // namespace evenkeel::train
