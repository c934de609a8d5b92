#include "train/forgetting.h"

#include <vector>

#include "train/shift_sets.h"

namespace evenkeel::train {
namespace {

size_t n_phases(const Arm& arm) { return arm.resolved.at("phase").size(); }

// A phase whose weights a later one goes on from, and the step of the run that it takes over.
struct Ancestor {
  size_t phase = 0;
  int64_t step = 0;
};
struct Ancestry {
  std::vector<Ancestor> phases;  // the latest first
  bool is_whole = true;          // back to the run's first weights; false: to those of another run
};

size_t phase_of_step(const Arm& arm, int64_t step) {
  size_t phase = 0;
  for (int64_t end = arm.resolved.at("phase").at(0).at("steps").as_int(); end < step && phase + 1 < n_phases(arm);)
    end += arm.resolved.at("phase").at(++phase).at("steps").as_int();
  return phase;
}

Ancestry ancestry_of(const Arm& arm, size_t phase) {
  Ancestry out;
  while (phase > 0) {
    const int64_t step = step_before_phase(arm, phase);
    if (step < 0) out.is_whole = false;
    if (step <= 0) break;
    phase = phase_of_step(arm, step);
    out.phases.push_back({phase, step});
  }
  return out;
}

// The last result on a set in a phase, up to a step.
const record::SetResult* result_until(const Arm& arm, const Ancestor& at, const std::string& data) {
  const record::SetResult* out = nullptr;
  for (const auto& evaluation : arm.evaluations)
    if (evaluation.phase == phase_name(arm, at.phase) && evaluation.step > 0 && evaluation.step <= at.step)
      if (const auto* found = evaluation.find(data)) out = found;
  return out;
}

std::optional<ForgettingBaseline> baseline_of(const std::string& name, const record::SetResult* result) {
  return result == nullptr ? std::nullopt : std::optional(ForgettingBaseline{name, loss_figure(*result)});
}

}  // namespace

std::optional<ForgettingBaseline> forgetting_baseline(const Arm& arm, size_t phase, const std::string& data) {
  const auto ancestry = ancestry_of(arm, phase);
  for (const auto& ancestor : ancestry.phases)
    if (trains_on(arm, ancestor.phase, data))
      return baseline_of(phase_name(arm, ancestor.phase), result_until(arm, ancestor, data));
  if (!ancestry.is_whole) return std::nullopt;
  if (comes_from_elsewhere(arm)) {
    const auto* first = first_evaluation(arm);
    return baseline_of(kStepZero, first != nullptr ? first->find(data) : nullptr);
  }
  if (ancestry.phases.empty()) return std::nullopt;
  const Ancestor& first = ancestry.phases.back();
  return baseline_of(phase_name(arm, first.phase), result_until(arm, first, data));
}

std::optional<LossFigure> forgetting_at_end(const Arm& arm, const std::string& data) {
  const auto end = loss_at_end(arm, data);
  const auto lines = final_evaluations(arm);
  for (size_t phase = n_phases(arm); end && phase-- > 0;) {
    if (phase_name(arm, phase) != lines.back()->phase) continue;
    const auto baseline = forgetting_baseline(arm, phase, data);
    return baseline ? std::optional(difference(*end, baseline->loss)) : std::nullopt;
  }
  return std::nullopt;
}

std::string baseline_words(const std::string& name) { return name == kStepZero ? name : "the end of phase " + name; }

}  // namespace evenkeel::train
