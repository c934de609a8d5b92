#include "study/shared_phases.h"

#include "checkpoint/manifest.h"
#include "core/file_io.h"
#include "train/metrics.h"

namespace evenkeel::study {
namespace {

int64_t last_step_of(const ArmPlan& arm, size_t n_phases) {
  int64_t steps = 0;
  for (size_t i = 0; i < n_phases; ++i) steps += arm.config.phases[i].total_steps(arm.config.train);
  return steps;
}

void copy_metrics(const fs::path& from, const fs::path& to, int64_t last_step) {
  std::string text;
  for (const auto& line : train::read_metrics(from))
    if (line.at("step").as_int() <= last_step) text += line.dump() + "\n";
  write_file_atomically(to, text);
}

void link_checkpoint(const fs::path& from, const fs::path& to) {
  const fs::path temporary = to.parent_path() / (".evenkeel-saving-" + to.filename().string());
  std::error_code error;
  fs::remove_all(temporary, error);
  make_folders(temporary);
  for (const auto& entry : fs::directory_iterator(from)) {
    fs::create_hard_link(entry.path(), temporary / entry.path().filename(), error);
    if (error) fs::copy_file(entry.path(), temporary / entry.path().filename());
  }
  rename_synced(temporary, to);
}

}  // namespace

size_t n_shared_phases(const ArmPlan& left, const ArmPlan& right) {
  const Json first = train::run_config_json(left.config), second = train::run_config_json(right.config);
  for (const char* key : {"model", "optimizer"})
    if (!(first.at(key) == second.at(key))) return 0;
  for (const auto& [key, value] : first.at("train").as_object())
    if (key != "checkpoint_every" && key != "keep_last" && !(second.at("train").at(key) == value)) return 0;
  const auto &mine = first.at("phase").as_array(), &theirs = second.at("phase").as_array();
  size_t n = 0;
  while (n < mine.size() && n < theirs.size() && mine[n] == theirs[n]) ++n;
  return n;
}

std::string take_shared_phases(const StudyPlan& plan, size_t index, const fs::path& arms_folder) {
  const ArmPlan& arm = plan.arms[index];
  const fs::path run = arms_folder / arm.name;
  const auto own_steps = checkpoint::saved_steps(run);
  size_t most = 0;
  const ArmPlan* giver = nullptr;
  for (size_t i = 0; i < index; ++i) {
    const size_t n = n_shared_phases(plan.arms[i], arm);
    if (n <= most) continue;
    const auto steps = checkpoint::saved_steps(arms_folder / plan.arms[i].name);
    const int64_t last = last_step_of(arm, n);
    if (std::find(steps.begin(), steps.end(), last) == steps.end()) continue;
    most = n;
    giver = &plan.arms[i];
  }
  const int64_t last = last_step_of(arm, most);
  if (giver == nullptr || (!own_steps.empty() && own_steps.back() >= last)) return "";
  const fs::path from = arms_folder / giver->name;
  make_folders(run / "checkpoints");
  copy_metrics(from / "metrics.jsonl", run / "metrics.jsonl", last);
  for (const int64_t step : checkpoint::saved_steps(from)) {
    const fs::path target = run / "checkpoints" / checkpoint::step_folder_name(step);
    if (step <= last && !fs::exists(target)) link_checkpoint(from / "checkpoints" / checkpoint::step_folder_name(step), target);
  }
  return giver->name;
}

}  // namespace evenkeel::study
