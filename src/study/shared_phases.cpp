#include "study/shared_phases.h"

#include <algorithm>

#include "checkpoint/manifest.h"
#include "core/file_io.h"
#include "record/run_reader.h"
#include "train/phase.h"
#include "train/recipe_changes.h"
#include "train/run_lock.h"

namespace evenkeel::study {
namespace {

int64_t last_step_of(const ArmPlan& arm, size_t n_phases) {
  int64_t steps = 0;
  for (size_t i = 0; i < n_phases; ++i) steps += arm.config.phases[i].total_steps(arm.config.train);
  return steps;
}

// The first bytes of a file.
void copy_head(const fs::path& from, const fs::path& to, int64_t n_bytes) {
  const MappedFile source(from);
  AtomicFile copy(to);
  copy.write(source.data(), static_cast<size_t>(n_bytes));
  copy.commit();
}

// The lines up to a step, and the loads that they leave to a file of their own.
void copy_metrics(const fs::path& from, const fs::path& to, int64_t last_step) {
  record::RunReader reader(from / "metrics.jsonl");
  int64_t n_bytes = 0, n_load_bytes = 0;
  for (auto line = reader.next(); line && reader.step() <= last_step; line = reader.next()) {
    n_bytes = reader.end_byte();
    n_load_bytes = reader.loads_end_byte();
  }
  if (n_load_bytes > 0) copy_head(from / "load.columns", to / "load.columns", n_load_bytes);
  copy_head(from / "metrics.jsonl", to / "metrics.jsonl", n_bytes);
}

void link_checkpoint(const fs::path& from, const fs::path& to) {
  const fs::path temporary = to.parent_path() / (".evenkeel-saving-" + to.filename().string());
  std::error_code error;
  fs::remove_all(temporary, error);
  make_folders(temporary);
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const fs::path place = temporary / entry.path().lexically_relative(from);
    if (entry.is_directory()) {
      make_folders(place);
      continue;
    }
    fs::create_hard_link(entry.path(), place, error);
    if (error) fs::copy_file(entry.path(), place);
  }
  rename_synced(temporary, to);
}

// Whether phase `index` starts from a step of its own run. What lies outside is not looked for: an arm that is finished
// needs it no more.
bool starts_inside(const train::RunConfig& config, size_t index) {
  const auto& start = config.phases[index].start;
  if (!start || start->from.empty()) return true;
  for (size_t i = 0; i < index; ++i)
    if (config.phases[i].name == start->from) return true;
  return false;
}

// Steps up to `last` of the arm's own run that its phases start from.
std::set<int64_t> start_steps(const ArmPlan& arm, int64_t last) {
  std::set<int64_t> out;
  for (size_t i = 0; i < arm.config.phases.size(); ++i) {
    if (!starts_inside(arm.config, i)) continue;
    const int64_t step = train::phase_start(arm.config, i).step;
    if (step > 0 && step <= last) out.insert(step);
  }
  return out;
}

bool has_all(const std::vector<int64_t>& steps, const std::set<int64_t>& needed) {
  return std::all_of(needed.begin(), needed.end(),
                     [&](int64_t step) { return std::find(steps.begin(), steps.end(), step) != steps.end(); });
}

}  // namespace

size_t n_shared_phases(const ArmPlan& left, const ArmPlan& right) {
  const Json first = train::run_config_json(left.config), second = train::run_config_json(right.config);
  const Json one = train::bearing_on_parameters(first), other = train::bearing_on_parameters(second);
  for (const char* key : {"model", "optimizer", "train"})
    if (!(one.at(key) == other.at(key))) return 0;
  const auto &mine = first.at("phase").as_array(), &theirs = second.at("phase").as_array();
  size_t n = 0;
  while (n < mine.size() && n < theirs.size() && mine[n] == theirs[n]) ++n;
  return n;
}

std::optional<size_t> giver_of(const StudyPlan& plan, size_t index) {
  size_t most = 0;
  std::optional<size_t> out;
  for (size_t i = 0; i < index; ++i) {
    const size_t n = n_shared_phases(plan.arms[i], plan.arms[index]);
    if (n <= most) continue;
    most = n;
    out = i;
  }
  return out;
}

std::set<int64_t> steps_for_takers(const StudyPlan& plan, size_t index) {
  std::set<int64_t> out;
  for (size_t taker = index + 1; taker < plan.arms.size(); ++taker) {
    if (giver_of(plan, taker) != index) continue;
    const ArmPlan& arm = plan.arms[taker];
    const int64_t last = last_step_of(arm, n_shared_phases(plan.arms[index], arm));
    out.merge(start_steps(arm, last));
    for (const int64_t step : steps_for_takers(plan, taker))
      if (step <= last) out.insert(step);
  }
  return out;
}

std::string take_shared_phases(const StudyPlan& plan, size_t index, const fs::path& arms_folder) {
  const auto giver = giver_of(plan, index);
  if (!giver) return "";
  const ArmPlan& arm = plan.arms[index];
  const fs::path run = arms_folder / arm.name, from = arms_folder / plan.arms[*giver].name;
  const auto steps = checkpoint::saved_steps(from), own_steps = checkpoint::saved_steps(run);
  // A giver that ended before this arm was in the study may lack a step that the arm starts from: then the arm computes
  // that phase itself.
  size_t n = n_shared_phases(plan.arms[*giver], arm);
  const auto needed = [&] {
    auto out = start_steps(arm, last_step_of(arm, n));
    out.insert(last_step_of(arm, n));
    return out;
  };
  while (n > 0 && !has_all(steps, needed())) --n;
  const int64_t last = last_step_of(arm, n);
  if (n == 0 || (!own_steps.empty() && own_steps.back() >= last)) return "";
  make_folders(run / "checkpoints");
  const train::RunLock lock(run);  // its mark says whose the folder is
  copy_metrics(from, run, last);
  for (const int64_t step : steps) {
    const fs::path target = run / "checkpoints" / checkpoint::step_folder_name(step);
    if (step <= last && !fs::exists(target))
      link_checkpoint(from / "checkpoints" / checkpoint::step_folder_name(step), target);
  }
  return plan.arms[*giver].name;
}

}  // namespace evenkeel::study
