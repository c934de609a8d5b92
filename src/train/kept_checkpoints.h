// The checkpoints of a run: when one is written, and which stay.
#pragma once

#include <set>

#include "record/metrics_file.h"
#include "train/run_setting.h"

namespace evenkeel::train {

class KeptCheckpoints {
 public:
  explicit KeptCheckpoints(const RunSetting& setting);
  // Whether the state's step is saved in any case: at the end of a phase, where a phase or another run starts, and at
  // the recipe's rhythm.
  bool is_due(const TrainState& state) const;
  // Once a step. The lines of `metrics` are on the disk before it, since a checkpoint relies on them. Of the earlier
  // checkpoints `keep_last` stay, and those of the first two kinds above.
  void save(const TrainState& state, record::MetricsFile& metrics);

 private:
  void remove_older() const;
  const RunSetting& setting_;
  std::set<int64_t> kept_;
  int64_t saved_step_ = -1;
};

}  // namespace evenkeel::train
