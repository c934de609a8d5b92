// Timed training steps of a recipe.
#pragma once

#include <string>

#include "train/config.h"

namespace evenkeel::train {

struct BenchOptions {
  int64_t n_steps = 10;
  bool real_data = false;  // a phase's data instead of random tokens
  std::string phase;       // its name; empty = the first
  std::string device;
};
// The document of cli.md. One warm-up step and the loading of data are not timed.
Json bench(const RunConfig& config, const BenchOptions& options);

}  // namespace evenkeel::train
