// What a run is made of, and nothing changes while it trains.
#pragma once

#include <vector>

#include "train/inputs.h"
#include "train/phase.h"
#include "train/trainer.h"

namespace evenkeel::train {

struct RunSetting {
  const RunConfig& config;
  const TrainOptions& options;
  InputData& data;
  at::Device device;
  model::Transformer model;
  std::vector<int64_t> first_steps;  // phase_first_steps
  // Of each phase. Looked up once, since another run in which a phase starts may go on or be removed.
  std::vector<PhaseStart> starts;

  int64_t n_steps() const { return first_steps.back() - 1; }
  const PhaseConfig& phase(const TrainState& state) const {
    return config.phases[static_cast<size_t>(state.phase_index)];
  }
  const PhaseStart& start(const TrainState& state) const { return starts[static_cast<size_t>(state.phase_index)]; }
  int64_t phase_length(const TrainState& state) const {
    const auto index = static_cast<size_t>(state.phase_index);
    return first_steps[index + 1] - first_steps[index];
  }
  // Whether the state stands behind the last step of its phase.
  bool phase_has_ended(const TrainState& state) const { return state.phase_step == phase_length(state); }
};

}  // namespace evenkeel::train
