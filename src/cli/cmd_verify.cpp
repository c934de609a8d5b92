#include <iostream>
#include <map>

#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "checkpoint/safetensors.h"
#include "cli/commands.h"
#include "core/config_tree.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/terminal_text.h"
#include "record/run_reader.h"
#include "report/check_page.h"
#include "study/check_study.h"
#include "train/check_run.h"
#include "train/recipe_changes.h"
#include "train/results.h"

namespace evenkeel::cli {
namespace {

void verify_checkpoint(const fs::path& folder) {
  checkpoint::verify_folder(folder, /*deep=*/true);
  checkpoint::require_only_listed(folder);
  checkpoint::load_params(checkpoint::open_model(folder, std::nullopt, /*deep=*/false));
  const checkpoint::SafetensorsFile optimizer(folder / "optimizer.safetensors");
}

// The number of checkpoints that were read. `has_page`: a finished run has its page.
int64_t verify_run(const fs::path& run, bool has_page) {
  const auto folders = checkpoint::step_folders(run);
  for (const auto& folder : folders) verify_checkpoint(folder);  // first: what is damaged is not missing
  train::read_resolved(run);
  read_toml((run / "recipe.toml").string());
  train::check_run_files(run);
  const fs::path metrics = run / "metrics.jsonl";
  const int64_t reached = record::last_step_in(metrics),
                saved = folders.empty() ? 0 : *checkpoint::step_of_name(folders.back().filename().string());
  require<DataError>(reached >= saved, metrics.string(), ": got lines up to step ", reached,
                     "; need those up to the checkpoint of step ", saved);
  const bool says_finished = fs::exists(run / "results.json");
  require<CheckpointError>(!says_finished || saved == reached, (run / "checkpoints").string(), ": got ",
                           folders.empty() ? "no checkpoint" : "a last checkpoint of step " + std::to_string(saved),
                           " and a run that is finished at step ", reached, "; need its last checkpoint, whole");
  if (says_finished && has_page) report::check_page(run);
  return static_cast<int64_t>(folders.size());
}

// An arm of a study gets its page when the study has ended.
bool is_arm_of_open_study(const fs::path& run) {
  const fs::path arms = fs::absolute(run / "").lexically_normal().parent_path().parent_path();
  return arms.filename() == "arms" && fs::exists(arms.parent_path() / "study.toml") &&
         !fs::exists(arms.parent_path() / "results.json");
}

int64_t verify_study(const fs::path& study) {
  read_toml((study / "study.toml").string());
  std::map<fs::path, bool> runs;  // and whether a run has its page: an arm of the finished study does
  for (const auto& arm : fs::directory_iterator(study / "arms")) runs[arm.path()] = false;
  const bool is_finished = fs::exists(study / "results.json");
  if (is_finished) {
    const fs::path path = study / "results.json";
    const Json results = read_json(path);
    with_path(path, results, [&] {
      for (const auto& arm : results.at("arms").as_array()) runs[study / arm.at("run").as_string()] = true;
    });
  }
  int64_t n = 0;
  for (const auto& [run, has_page] : runs) n += verify_run(run, has_page);
  if (!is_finished) return n;
  study::check_study_results(study);
  train::check_tables(study);
  report::check_page(study);
  return n;
}

}  // namespace

int cmd_verify(Options& options) {
  std::string text;
  options.add("DIR", text, "run, study or checkpoint", true);
  options.example("evenkeel verify runs/first");
  if (!options.parse()) return 0;
  const fs::path path(text);
  require<DataError>(fs::is_directory(path), text, ": got no such folder; need a run, study or checkpoint");
  int64_t n = 1;
  if (fs::exists(path / "manifest.json")) {
    verify_checkpoint(path);
  } else if (fs::exists(path / "resolved.json")) {
    n = verify_run(path, !is_arm_of_open_study(path));
  } else if (fs::is_directory(path / "arms")) {
    n = verify_study(path);
  } else {
    fail<CheckpointError>(text, ": got neither manifest.json nor resolved.json; need a checkpoint, run or study");
  }
  require<CheckpointError>(n > 0, text,
                           ": got no checkpoint in it, so there is nothing to verify; need a run or study that has "
                           "saved one (its command with --resume goes on)");
  std::cout << printable(text) << ": " << n << (n == 1 ? " checkpoint is" : " checkpoints are") << " whole\n";
  return 0;
}

}  // namespace evenkeel::cli
