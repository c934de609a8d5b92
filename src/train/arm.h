// One run as its files tell of it: an arm of a study, or a study of one arm.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "model/config.h"
#include "record/run_lines.h"
#include "train/loss_error.h"
#include "train/phase_figures.h"

namespace evenkeel::train {

// An alarm and the step that it stands in, or the evaluation that shows it. `seconds` of the step (0 of an evaluation)
// and `loss` tell it from the same step of another run.
struct FoundAlarm {
  int64_t step = 0;
  std::string phase;
  double seconds = 0, loss = 0;
  record::Alarm alarm;
  std::optional<std::string> data = std::nullopt;  // the held-out set; none: training
};

// What comes before a phase: the last step of this run that it continues from (-1: another run's), and sums of the MRI,
// in each of mri_columns, over the kShiftWindow steps up to it.
struct ShiftStart {
  int64_t step = -1;
  std::vector<double> mri_sums;
  int64_t n_steps = 0;
};

struct Arm {
  std::string name, group;  // arms that differ only by seed share the group
  std::filesystem::path run;
  Json resolved;
  // What add_line has gathered of metrics.jsonl.
  std::vector<PhaseFigures> phases;  // as in `resolved`; empty before the first line
  std::vector<ShiftStart> shifts;    // of each phase
  // Those of step 0, and of each set the last in a phase, have their routing; the others have lost it.
  std::vector<record::EvaluationRow> evaluations;
  std::vector<record::SaturationRow> saturations;
  std::vector<FoundAlarm> alarms;  // those of an evaluation once a phase, where training has not told of the layer
};

// Takes the next line of the run's metrics.jsonl: results are a fold over the lines, and a run that goes on is folded
// on.
void add_line(Arm& arm, record::RunLine line);
Arm read_arm(const std::string& name, const std::string& group, const std::filesystem::path& run);
// A run by itself, in a group of its own. `name`: "" = that of its folder.
Arm read_arm(const std::filesystem::path& run, const std::string& name = "");

model::ModelConfig arm_model(const Arm& arm);
int64_t seed_of(const Arm& arm);  // train.seed
const std::string& phase_name(const Arm& arm, size_t index);
const std::string& last_phase(const Arm& arm);  // of the recipe
// The step of this run that a phase continues from; -1 when it is another run's.
int64_t step_before_phase(const Arm& arm, size_t index);

// Whether the run's first weights were trained before: by [model] from, or by a start of its first phase.
bool comes_from_elsewhere(const Arm& arm);
// The evaluation of step 0; nullptr where there is none.
const record::EvaluationRow* first_evaluation(const Arm& arm);
// The last evaluation of a phase; that of step 0 is of none. nullptr where there is none. `data`: the last that has
// this held-out set; "" = whatever it has.
const record::EvaluationRow* final_evaluation(const Arm& arm, const std::string& phase, const std::string& data = "");
// Those of all phases, in the order of the phases.
std::vector<const record::EvaluationRow*> final_evaluations(const Arm& arm);
// What the final evaluation with the set `data` says of it; nullptr where there is none.
const record::SetResult* final_result(const Arm& arm, const std::string& phase, const std::string& data);
// What a run's changes are measured from: step 0 of a run whose weights come from elsewhere, else the end of the first
// phase; nullptr where that was not evaluated.
const record::EvaluationRow* baseline_evaluation(const Arm& arm);
// Its name in tables: "step 0", or the first phase's; none where it was not evaluated.
std::optional<std::string> baseline_name(const Arm& arm);
inline constexpr const char* kStepZero = "step 0";  // in the place of a phase

// The loss on a held-out set at the end of the last phase that was evaluated; nullopt where that left the set out.
std::optional<LossFigure> loss_at_end(const Arm& arm, const std::string& data);

}  // namespace evenkeel::train
