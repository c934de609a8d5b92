#include "train/kept_checkpoints.h"

#include "checkpoint/manifest.h"
#include "core/output.h"
#include "train/phase_run.h"

namespace evenkeel::train {

KeptCheckpoints::KeptCheckpoints(const RunSetting& setting) : setting_(setting), kept_(setting.options.keep_steps) {
  for (const auto& start : setting.starts)
    if (start.folder.empty()) kept_.insert(start.step);
  for (size_t i = 1; i < setting.first_steps.size(); ++i) kept_.insert(setting.first_steps[i] - 1);
}

bool KeptCheckpoints::is_due(const TrainState& state) const {
  return kept_.contains(state.step) || train::is_due(setting_.config, setting_.config.train.checkpoint_every, state);
}

void KeptCheckpoints::save(const TrainState& state, record::MetricsFile& metrics) {
  if (saved_step_ == state.step) return;
  metrics.sync();
  save_checkpoint(setting_.options.run, state, setting_.config);
  saved_step_ = state.step;
  if (setting_.config.train.keep_last > 0) remove_older();
}

void KeptCheckpoints::remove_older() const {
  const auto& run = setting_.options.run;
  const auto steps = checkpoint::saved_steps(run);
  int64_t n_later = 0;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (kept_.contains(*step) || n_later++ < setting_.config.train.keep_last) continue;
    const auto folder = run / "checkpoints" / checkpoint::step_folder_name(*step);
    if (is_own({folder, OutputKind::checkpoint})) checkpoint::remove_folder(folder);  // one with files of others stays
  }
}

}  // namespace evenkeel::train
