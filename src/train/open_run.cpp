#include "train/open_run.h"

#include <algorithm>

#include "checkpoint/manifest.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/output.h"
#include "model/layout.h"
#include "ops/device.h"
#include "train/interrupt.h"
#include "train/memory.h"
#include "train/memory_limit.h"
#include "train/recipe_changes.h"
#include "train/resume.h"
#include "train/starting_state.h"

namespace evenkeel::train {

namespace fs = std::filesystem;

namespace {

void check_folder(const TrainOptions& options) {
  const fs::path& run = options.run;
  const bool is_used =
      fs::exists(run) && (!fs::is_directory(run) || fs::directory_iterator(run) != fs::directory_iterator());
  require<ConfigError>(!is_used || fs::is_directory(run), run.string(),
                       ": got a file; need a folder to write the run to");
  require<ConfigError>(!is_used || options.resume, run.string(),
                       ": got a folder that is not empty; need an empty or new one, or --resume");
  require_own_outputs(run_outputs(run, options.recipe_text));
  for (const auto& file : checkpoint::files_named_like_steps(run))
    fail<ConfigError>(file.string(),
                      ": got a file where a checkpoint is to be written; need it moved away, or another --out");
}

// What differs between the run's recipe or contents and those of now; ConfigError where that is not allowed.
std::vector<std::string> allowed_changes(const RunConfig& config, const TrainOptions& options, InputData& data) {
  if (!options.allow_change) {
    require_same_contents(options.run, config, data, options.change_offer);
    return {};
  }
  auto changes = changes_since(options.run, config, data);
  for (auto& change : changed_contents(options.run, config, data)) changes.push_back(std::move(change));
  return changes;
}

// A phase to come may start from a step that this run has passed. Then it needs that step's checkpoint.
void require_own_starts(const RunSetting& setting, const TrainState& state) {
  const auto saved = checkpoint::saved_steps(setting.options.run);
  for (size_t i = static_cast<size_t>(state.phase_index) + (state.phase_step > 0 ? 1 : 0); i < setting.starts.size();
       ++i) {
    const PhaseStart& start = setting.starts[i];
    const bool is_passed = start.folder.empty() && start.step > 0 && start.step <= state.step;
    if (!is_passed || std::count(saved.begin(), saved.end(), start.step) > 0) continue;
    std::string steps;
    for (const int64_t step : saved) add_to_list(steps, std::to_string(step));
    fail<ConfigError>(setting.config.phases[i].place("start.step"), ": got a start from step ", start.step,
                      ", which the run has passed and not saved; need one of its checkpoints (", steps,
                      "), or a step to come");
  }
}

// The run's own account of its recipe: recipe.toml as it was given, resolved.json in full.
void write_recipe(const RunSetting& setting, const Json& contents, const Json& changed, bool is_new) {
  const TrainOptions& options = setting.options;
  const fs::path text = options.run / "recipe.toml";
  const bool replaces =
      is_new || !fs::exists(text);  // one of the same values stays, with whatever its owner noted in it
  if (replaces && !has_content(text, options.recipe_text)) write_file_atomically(text, options.recipe_text);
  Json resolved = run_config_json(setting.config);
  resolved["contents"] = contents;
  if (changed.size() > 0) resolved["changed"] = changed;
  write_file_atomically(options.run / "resolved.json", resolved.dump(1) + "\n");
}

RunSetting checked_setting(const RunConfig& config, const TrainOptions& options, InputData& data) {
  const at::Device device = ops::find_device(options.device);
  if (options.resume && !options.allow_change) require_same_recipe(options.run, config, data, options.change_offer);
  if (options.resume) data.trust(options.run);
  for (const auto& warning : data.open(config)) log_warning(warning);
  auto starts = check_starts(config, data);
  for (const auto& warning : starts.warnings) log_warning(warning);
  require_memory(estimate_memory(config).total(), "model");
  return {config,
          options,
          data,
          device,
          model::Transformer(config.model),
          phase_first_steps(config),
          std::move(starts.of_phases)};
}

}  // namespace

std::optional<OpenRun> open_run(const RunConfig& config, const TrainOptions& options, InputData& data) {
  // 1. What must be right before anything is written.
  const fs::path& run = options.run;
  check_folder(options);
  if (options.resume && is_finished(run, config) && had_recipe(run, config, data)) return std::nullopt;
  OpenRun out{checked_setting(config, options, data), nullptr, {}, nullptr};
  const RunSetting& setting = out.setting;

  // 2. From here on no other process writes there: what a killed one left may go.
  save_on_signal();
  make_folders(run / "checkpoints");
  out.lock = std::make_unique<RunLock>(run);
  checkpoint::remove_leftovers(run / "checkpoints");
  for (const char* part : {"", "csv"}) remove_temporaries_in(run / part);

  // 3. Where the run goes on. Nothing of the run is changed while something may be refused.
  const auto changes = allowed_changes(config, options, data);
  auto resume = options.resume
                    ? find_resume(config, {run, setting.device, changes, options.change_offer}, setting.starts, data)
                    : std::nullopt;
  out.state = resume ? std::move(resume->state) : first_state(config, setting);
  require_own_starts(setting, out.state);
  const Json contents = run_contents(config, data, setting.starts, run),
             changed = recorded_changes(run, changes, out.state.step);

  // 4. The run's files.
  out.metrics = std::make_unique<record::MetricsFile>(run / "metrics.jsonl", out.state.step,
                                                      model::experts_in_all_layers(config.model));
  copy_log_to((run / "log.txt").string());
  if (!changes.empty()) log_warning("the recipe changed: ", joined(changes));
  if (resume)
    for (const auto& [folder, reason] : resume->damaged) checkpoint::put_aside(folder, reason);
  for (const auto& table : tables_of_results(run)) fs::remove(table);
  fs::remove(run / "results.json");  // of a recipe that was shorter: the run is not finished until it has its own
  write_recipe(setting, contents, changed, !changes.empty());
  if (resume) log_info("resumed at step ", out.state.step, " of ", setting.n_steps());
  return out;
}

}  // namespace evenkeel::train
