// Timed training steps of a recipe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/rng.h"
#include "data/batch.h"
#include "train/config.h"
#include "train/step.h"

namespace evenkeel::train {

struct BenchOptions {
  int64_t n_steps = 10;
  bool real_data = false;  // a phase's data instead of random tokens
  std::string phase = {};  // its name; empty = the first
  std::string device = {};
  double max_seconds = 0;  // stops after this time, with at least least_steps; 0 = no bound
  int64_t least_steps = 1;
  bool with_evaluation = false;  // StepTimes::evaluation_seconds too
};

// A micro-batch of tokens uniform over the vocabulary. It has documents where sequences of the recipe are seen under a
// mask: by train.separate_documents or by an objective of a phase.
data::Batch random_batch(const RunConfig& config, RngStream& rng);

// Training steps of a fresh model, timed one by one after a warm-up step; the loading of data is not in them.
struct StepTimes {
  std::vector<double> seconds;              // ascending
  double cpu_seconds = 0;                   // that all threads of the process took in these steps
  std::optional<double> core_wait_seconds;  // that they were ready and had no core; none where the system does not tell
  StepSeconds parts;                        // sums over the steps
  double mri_sum = 0;                       // over steps and layers
  int64_t n_mri = 0;
  // Of the shortest evaluation of a set, its line in metrics.jsonl included; 0 unless it is asked for.
  double evaluation_seconds = 0;
  double median() const;  // of seconds
};
// Ends early, maybe without a step, when a stop is requested (train/interrupt.h).
StepTimes time_steps(const RunConfig& config, const BenchOptions& options);

// The document of cli.md. One warm-up step and the loading of data are not timed. Interrupted when a stop is requested
// before all steps were made.
Json bench(const RunConfig& config, const BenchOptions& options);

}  // namespace evenkeel::train
