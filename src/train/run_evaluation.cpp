#include "train/run_evaluation.h"

#include <algorithm>

#include "train/held_out.h"
#include "train/phase_run.h"
#include "train/starting_state.h"

namespace evenkeel::train {
namespace {

HeldOut held_out(const RunSetting& setting, const TrainState& state) {
  return {setting.config, setting.phase(state), setting.model, state, setting.data};
}

}  // namespace

void evaluate_before_training(const RunSetting& setting, const TrainState& state, RunSinks& sinks) {
  const bool is_from_elsewhere = setting.config.model_from || !setting.starts[0].folder.empty();
  if (state.step > 0 || !is_from_elsewhere || sinks.has<record::EvaluationRow>()) return;
  const auto& phases = setting.config.phases;
  if (std::any_of(phases.begin(), phases.end(), [](const PhaseConfig& phase) { return phase.eval.has_value(); }))
    sinks.write(baseline_line(held_out(setting, state)));
}

void evaluate_what_is_due(const RunSetting& setting, const TrainState& state, RunSinks& sinks) {
  if (!is_evaluation_due(setting, state)) return;
  if (!sinks.has<record::EvaluationRow>()) sinks.write(evaluation_line(held_out(setting, state)));
  if (!setting.phase_has_ended(state) || !setting.config.model.is_moe() || sinks.has<record::SaturationRow>()) return;
  const auto start = state_at_start(setting, state);
  if (start != nullptr) sinks.write(saturation_line(held_out(setting, state), *start));
}

}  // namespace evenkeel::train
