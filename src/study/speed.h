// How fast a study's models train, each measured alone on the machine, in turns. Arms that train side by side share it,
// so the times of their own steps do not compare.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "study/matrix.h"

namespace evenkeel::study {

struct Speed {
  double tokens_per_second = 0, step_seconds = 0;  // the median step; tokens per second follow from it
  double cpu_seconds_per_token = 0;  // of all threads: other processes bear on it less than on the wall time
  double spread = 0;                 // quartile range of the step times over their median
  // How much of the CPU time that its threads asked for they got: CPU time over itself plus what they waited for a
  // core. A thread that sleeps because it has nothing to do asks for none. Where the system does not tell the wait: CPU
  // time over wall time × threads. None where a step does not run on the CPU.
  std::optional<double> cpu_share = {};
  // Something else used the machine meanwhile: a ratio to such a speed says nothing.
  bool is_busy() const { return spread > kMostSpread || (cpu_share && *cpu_share < kLeastCpuShare); }
  static constexpr double kMostSpread = 0.15, kLeastCpuShare = 0.85;
};
using Speeds = std::map<std::string, Speed>;  // of each arm

// A model's timed steps in one round.
struct Turn {
  std::vector<double> step_seconds;  // ascending
  double cpu_seconds = 0;            // of all threads, in these steps
  // That they were ready and had no core. None where the system does not tell.
  std::optional<double> core_wait_seconds = {};
};
// Of the steps of all turns. n_threads: 0 where a step does not run on the CPU.
Speed speed_of(const std::vector<Turn>& turns, int64_t tokens_per_step, int64_t n_threads);

// Those of a speed.json. DataError where it is none.
Speeds read_speeds(const std::filesystem::path& path);

// Times training steps of every model of the study, one process at a time on all threads, and keeps them in
// DIR/speed.json (docs/formats.md). Round by round each model has a turn (train::time_steps, about a second), so that
// what comes and goes on the machine meets all of them. What is in speed.json of this machine is taken as it is when it
// has every model; else all are measured, since models that were measured at different times do not compare. Arms of
// one model, optimizer and [train] table, seed included, share a measurement. `machine` as of train::machine_json.
// Interrupted after a signal.
Speeds measure_speeds(const StudyPlan& plan, const std::filesystem::path& out, const std::string& device,
                      const Json& machine);

}  // namespace evenkeel::study
