#include "cli/commands.h"
#include "cli/recipe.h"
#include "cli/results_lines.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/log.h"
#include "report/page.h"
#include "train/inputs.h"
#include "train/trainer.h"

namespace evenkeel::cli {

int cmd_train(Options& options) {
  std::string recipe, out;
  std::vector<std::string> overrides;
  std::optional<int64_t> seed;
  bool no_tensorboard = false, allow_mixed = false;
  train::TrainOptions train;
  options.add("RECIPE", recipe, "recipe (TOML)", true);
  options.add("--out", out, "run folder: empty or new, unless --resume", true);
  options.flag("--resume", train.resume, "go on from the last good checkpoint");
  options.flag("--allow-change", train.allow_change, "resume with a recipe that differs");
  options.flag("--allow-mixed-tokenizers", allow_mixed,
               "as train.allow_mixed_tokenizers = true: sets of different tokenizers are no error");
  options.add("--max-hours", train.max_hours, "save and stop after this time; 0 = no bound");
  options.add("--set", overrides, "key.path=value, above the recipe; repeatable");
  options.add("--seed", seed, {}, "train.seed, above the recipe");
  options.flag("--no-tensorboard", no_tensorboard, "write no TensorBoard events");
  options.compute(train.device);
  list_choices(options);
  options.example("evenkeel train recipes/tiny/granular-pb.toml --out runs/first --set train.seed=2");
  if (!options.parse()) return 0;
  require<ConfigError>(train.max_hours >= 0, "--max-hours: got ", train.max_hours, "; need 0 (no bound) or more");
  train.run = out;
  train.tensorboard = !no_tensorboard;
  const ConfigNode root = read_recipe(recipe, overrides, seed);
  auto config = train::open_run_config(root);
  if (const auto warning = model::kept_balance_warning(*root.find("model"), config.model); !warning.empty())
    log_warning(warning);
  train.recipe_text = read_file(recipe);
  config.train.allow_mixed_tokenizers = config.train.allow_mixed_tokenizers || allow_mixed;
  const auto results_time = [&] {
    std::error_code ignored;
    return fs::last_write_time(train.run / "results.json", ignored);
  };
  const auto before = results_time();
  const auto outcome = train::train_run(config, train);
  if (outcome != train::TrainOutcome::finished) return 0;
  if (results_time() == before && fs::exists(train.run / "report.html"))
    return 0;  // it was finished: the disk may be read-only
  report::write_page({out}, train.run / "report.html");
  log_results(train.run);
  return 0;
}

}  // namespace evenkeel::cli
