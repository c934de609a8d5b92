#include <cstdio>
#include <filesystem>

#include "cli/commands.h"
#include "cli/recipe.h"
#include "cli/results_lines.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/log.h"
#include "core/output.h"
#include "report/page.h"
#include "study/study.h"
#include "train/inputs.h"
#include "train/interrupt.h"
#include "train/run_lock.h"

namespace evenkeel::cli {

int cmd_study(Options& options) {
  std::string recipe, out;
  std::vector<std::string> overrides;
  study::StudyOptions study;
  bool allow_mixed = false;
  options.add("STUDY", recipe, "study (TOML with [study])", true);
  options.add("--out", out, "folder: empty or new, unless --resume", true);
  options.flag("--resume", study.resume, "go on from what is there");
  options.flag("--allow-mixed-tokenizers", allow_mixed,
               "as train.allow_mixed_tokenizers = true in every arm: sets of different tokenizers are no error");
  options.add("--jobs", study.n_jobs, {0, 1024, "automatic"},
              "arms at a time, the threads shared between them; 0 = as many as cores and memory allow");
  options.add("--set", overrides, "key.path=value, above the file; repeatable");
  options.compute(study.device);
  options.example("evenkeel study recipes/demo.toml --out runs/demo --resume");
  if (!options.parse()) return 0;
  study.out = out;
  const ConfigNode root = read_recipe(recipe, overrides);
  auto plan = study::read_study(root);
  for (auto& arm : plan.arms)
    arm.config.train.allow_mixed_tokenizers = arm.config.train.allow_mixed_tokenizers || allow_mixed;
  const bool is_used = fs::exists(study.out) &&
                       (!fs::is_directory(study.out) || fs::directory_iterator(study.out) != fs::directory_iterator());
  require<ConfigError>(!is_used || fs::is_directory(study.out), out,
                       ": got a file; need a folder to write the study to");
  require<ConfigError>(!is_used || study.resume, out,
                       ": got a folder that is not empty; need an empty or new one, or --resume");
  const std::string text = read_file(recipe);
  require_own_outputs(study_outputs(study.out, text));
  for (const auto& arm : plan.arms) {
    const fs::path run = study.out / "arms" / arm.name;
    require<ConfigError>(!fs::is_symlink(run), run.string(),
                         ": got a symbolic link where an arm's folder is to be written; need another --out, or nothing "
                         "there (nothing is written through links)");
    require_own_outputs(run_outputs(run, arm.text));
  }
  train::InputData data;
  study::check_study(plan, study, data);
  make_folders(study.out);
  train::save_on_signal();
  const train::RunLock lock(study.out);
  for (const char* part : {"", "csv"}) remove_temporaries_in(study.out / part);
  if (!has_content(study.out / "study.toml", text)) write_file_atomically(study.out / "study.toml", text);
  study::run_study(plan, study, data);
  for (const auto& arm : plan.arms) {
    const fs::path run = study.out / "arms" / arm.name;
    report::write_page({run}, run / "report.html");
  }
  report::write_page({study.out}, study.out / "report.html");
  log_results(study.out);
  return 0;
}

}  // namespace evenkeel::cli
