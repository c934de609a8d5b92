// Whether a run's resolved.json is the recipe that its other files were made by.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/json.h"
#include "optim/schedule.h"
#include "record/run_lines.h"
#include "train/arm.h"

namespace evenkeel::train {

// DataError "…/resolved.json: KEY: got …; need …, as CHECKPOINT says" where the last checkpoint, whose hashes its
// manifest has, is of another model, length of sequences, batch, phase, seed, mixture or share of replay; where
// metrics.jsonl ends with the checkpoint's step and the run is finished, of another number of steps. Nothing is
// compared without a checkpoint, and of a run whose recipe was changed on the way.
void check_resolved_beside_checkpoint(const Arm& arm, bool is_finished);

// Holds the learning rates of a run's lines against the schedules of its resolved.json.
class RateCheck {
 public:
  explicit RateCheck(const Arm& arm);
  // `row`: of a step that the recipe has; `where`: its line.
  void add(const record::StepRow& row, const std::string& where);
  // DataError that names the line where one has another rate, and resolved.json where several have.
  void require_same() const;

 private:
  struct Phase {
    std::string name;
    int64_t last_step = 0;
    std::unique_ptr<optim::Schedule> schedule;
    double lr_max = 0;
    int64_t n_others = 0;  // lines of another rate; the first of them:
    std::string where;
    double got = 0, scheduled = 0;
    int64_t phase_step = 0;
  };
  std::string resolved_path_;
  std::vector<Phase> phases_;  // none where the recipe was changed on the way
};

}  // namespace evenkeel::train
