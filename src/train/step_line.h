// What a step reports: its line of metrics.jsonl, its TensorBoard scalars, its text on the terminal.
#pragma once

#include <map>
#include <string>

#include "record/run_lines.h"
#include "train/diagnose.h"
#include "train/step.h"
#include "train/tensorboard.h"

namespace evenkeel::train {

struct StepLine {
  const TrainState& state;  // after the step
  const std::string& phase;
  int64_t phase_steps = 0;  // length of the phase
  const StepReport& report;
  const std::map<std::string, int64_t>& sources;  // sequences of each source
  double seconds = 0;
  double gemm_fraction = 0;          // FLOP rate over the measured rate of square products
  const std::vector<Alarm>& alarms;  // new at this step
  std::string objective = {};        // of the phase, in words
  double tokens_per_second() const { return static_cast<double>(report.n_tokens) / seconds; }
};

record::StepRow row_of(const StepLine& line);
void write_scalars(const StepLine& line, TensorBoardFile& tensorboard);
// Fields, two spaces apart, what matters most first: phase and step, loss, worst MRI, drops, the terms of the loss as
// they enter it, lr, gradient norm, tokens/s, share of the measured rate of matrix products. What is scored and what is
// padding stand there where not every token is scored, or there is padding.
std::string terminal_text(const StepLine& line);

}  // namespace evenkeel::train
