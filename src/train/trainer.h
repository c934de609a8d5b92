// A run from its recipe to its last checkpoint: phases, schedules, evaluation, checkpoints, resume.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>

#include "train/config.h"
#include "train/recipe_changes.h"

namespace evenkeel::train {

class InputData;

struct TrainOptions {
  std::filesystem::path run;
  std::string recipe_text;  // written to recipe.toml as given
  std::string device;       // of ops::find_device
  bool resume = false;
  bool allow_change = false;
  std::string change_offer = std::string(kAllowChange);  // what a refusal of a changed recipe offers
  double max_hours = 0;                                  // 0 = no bound
  int64_t runs_at_a_time = 1;  // that share the machine, this one included; results.json states it
  bool tensorboard = true;
  InputData* data = nullptr;  // sets that are open and checked already; may be null
  // Saved and kept like the steps that phases of this run start from: other runs start there.
  std::set<int64_t> keep_steps;
  // Called after each step with (step, total steps) in place of the run's own progress bar; may be empty.
  std::function<void(int64_t, int64_t, const std::string&)> on_step;
};

enum class TrainOutcome { finished, out_of_time };

// Runs or resumes. Errors as in cli.md: ConfigError for a run folder that is not empty, a recipe that differs,
// a folder in use; Interrupted after the save that a signal asked for; NumericsError, MachineError.
TrainOutcome train_run(const RunConfig& config, const TrainOptions& options);

// True when the run has the checkpoint of its last step and results.json.
bool is_finished(const std::filesystem::path& run, const RunConfig& config);

}  // namespace evenkeel::train
