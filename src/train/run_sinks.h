// Where a run's figures go while it trains: metrics.jsonl, TensorBoard and the terminal.
#pragma once

#include <memory>

#include "core/log.h"
#include "record/metrics_file.h"
#include "train/run_setting.h"
#include "train/step_line.h"

namespace evenkeel::train {

// What came of a step.
struct StepOutcome {
  StepReport report;
  std::map<std::string, int64_t> sources;  // sequences of each
  double seconds = 0;                      // of drawing and training
  std::vector<Alarm> alarms;               // new ones
};

class RunSinks {
 public:
  // `first_step`: the step that the run goes on from. `gemm_rate`: FLOP/s of matrix products here, for the share of it
  // that a step reaches.
  RunSinks(const RunSetting& setting, record::MetricsFile& metrics, int64_t first_step, double gemm_rate);
  void begin_phase(const std::string& name) const;
  void write(const TrainState& state, const StepOutcome& step);  // `state`: after the step
  void write(const record::EvaluationRow& evaluation);
  void write(const record::SaturationRow& saturation) { metrics_.write(saturation); }
  // Whether the step that was written last has a line of the kind.
  template <class Row>
  bool has() const {
    return metrics_.has<Row>();
  }
  void end();  // of the progress bar, before what is said last

 private:
  const RunSetting& setting_;
  record::MetricsFile& metrics_;
  int64_t first_step_;
  double gemm_rate_, flops_per_token_;
  std::vector<std::string> objectives_;  // of each phase, in words
  std::unique_ptr<TensorBoardFile> tensorboard_;
  std::unique_ptr<Progress> progress_;  // nullptr where TrainOptions::on_step is in its place
};

}  // namespace evenkeel::train
