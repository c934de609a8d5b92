// The fixed cost of an evaluation: what one takes besides the tokens of its set.
#pragma once

#include <memory>

#include "record/metrics_file.h"
#include "train/held_out.h"

namespace evenkeel::train {

// An evaluation of a set of one scored token, as a run makes it: evaluate(), and its line in a metrics.jsonl. What it
// takes is many small operations, in which what is computed takes next to no time. Its files are in the system's folder
// for temporary ones, without a name: none is left whatever ends the process. MachineError where they cannot be made.
class ShortestEvaluation {
 public:
  // Of `model` in `state`, which must outlive this. `config` is that of the model; its phases are not used.
  ShortestEvaluation(const RunConfig& config, const model::Transformer& model, const TrainState& state);
  record::EvaluationRow once();  // the line that was written

 private:
  RunConfig config_;
  const model::Transformer& model_;
  const TrainState& state_;
  InputData data_;
  std::unique_ptr<record::MetricsFile> metrics_;
};

// The median of a few, after one that warms up; 0 where a stop is requested before one was timed.
double shortest_evaluation_seconds(const RunConfig& config, const model::Transformer& model, const TrainState& state);

}  // namespace evenkeel::train
