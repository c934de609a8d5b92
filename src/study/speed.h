// How fast a study's models train, each measured alone on the machine. Arms that train side by side share it, so the times
// of their own steps do not compare.
#pragma once

#include <map>
#include <string>

#include "study/matrix.h"

namespace evenkeel::study {

struct Speed {
  double tokens_per_second = 0, step_seconds = 0;  // the median step; tokens per second follow from it
};
using Speeds = std::map<std::string, Speed>;  // of each arm

// Times training steps (train::time_steps, some seconds each) of every model of the study, one process at a time on all
// threads, and keeps them in DIR/speed.json (docs/formats.md): only what is missing there, or was measured on another
// machine, is measured. Arms of one model, optimizer and [train] table, seed included, share a measurement.
// `machine` as of train::machine_json. Interrupted after a signal.
Speeds measure_speeds(const StudyPlan& plan, const std::filesystem::path& out, const std::string& device, const Json& machine);

}  // namespace evenkeel::study
