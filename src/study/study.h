// Runs a study: its arms in order, shared phases once, then tables, CSV and headlines.
#pragma once

#include <filesystem>
#include <string>

#include "study/matrix.h"

namespace evenkeel::train {
class InputData;
}

namespace evenkeel::study {

struct StudyOptions {
  std::filesystem::path out;
  std::string device;
  bool resume = false;
  int64_t n_jobs = 0;  // arms at a time; 0 = as many as cores and memory allow
};

// ConfigError when an arm's run in DIR began with another recipe; DataError for data that an unfinished arm cannot use.
// Nothing is written: call it before anything of DIR is replaced. `data`: where the sets of unfinished arms are opened
// and read, for run_study.
void check_study(const StudyPlan& plan, const StudyOptions& options, train::InputData& data);

// DIR/arms/NAME/ for each arm, DIR/speed.json (study/speed.h), DIR/results.json, DIR/csv/. Resumable after a kill at
// any moment. Errors as train::train_run.
void run_study(const StudyPlan& plan, const StudyOptions& options, train::InputData& data);

}  // namespace evenkeel::study
