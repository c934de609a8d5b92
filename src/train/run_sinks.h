// Where a run's figures go while it trains: metrics.jsonl, TensorBoard and the terminal.
#pragma once

#include <memory>

#include "core/log.h"
#include "train/metrics.h"
#include "train/run_setting.h"
#include "train/step_line.h"

namespace evenkeel::train {

class RunSinks {
 public:
  // `first_step`: the step that the run goes on from.
  RunSinks(const RunSetting& setting, MetricsFile& metrics, int64_t first_step);
  void begin_phase(const std::string& name) const;
  void write(const StepLine& line);
  void write_evaluation(const Json& line);                           // of evaluation_line
  void write_saturation(const Json& line) { metrics_.write(line); }  // of saturation_line
  // Whether the step that was written last has a line with the key.
  bool has(const std::string& key) const { return metrics_.has(key); }
  void end();  // of the progress bar, before what is said last

 private:
  const RunSetting& setting_;
  MetricsFile& metrics_;
  int64_t first_step_;
  std::unique_ptr<TensorBoardFile> tensorboard_;
  std::unique_ptr<Progress> progress_;  // nullptr where TrainOptions::on_step is in its place
};

}  // namespace evenkeel::train
