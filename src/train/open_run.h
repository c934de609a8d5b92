// Opens a run: everything that can be refused is looked at before anything is written.
#pragma once

#include <memory>
#include <optional>

#include "record/metrics_file.h"
#include "train/run_lock.h"
#include "train/run_setting.h"

namespace evenkeel::train {

struct OpenRun {
  RunSetting setting;
  std::unique_ptr<RunLock> lock;                 // on the folder
  TrainState state;                              // of the last whole checkpoint, or a first one
  std::unique_ptr<record::MetricsFile> metrics;  // cut to the step of `state`
};

// The folder is locked, cleared of what a killed writer left, and has the recipe of now. std::nullopt where the run is
// finished already. Errors as train_run says.
std::optional<OpenRun> open_run(const RunConfig& config, const TrainOptions& options, InputData& data);

}  // namespace evenkeel::train
