#include "train/check_run.h"

#include "core/errors.h"
#include "core/input_file.h"
#include "core/json_lines.h"
#include "core/version.h"
#include "record/run_reader.h"
#include "train/arm.h"
#include "train/check_lines.h"
#include "train/check_resolved.h"
#include "train/common_results.h"
#include "train/resolved_recipe.h"
#include "train/results.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;

// All lines and loads are read, and are of the recipe and the model that resolved.json says.
int64_t last_step_of(const fs::path& metrics, const LineCheck& recipe, RateCheck rates, bool is_finished) {
  record::RunReader reader(metrics, record::all_loads);
  while (const auto line = reader.next()) {
    recipe.check(*line, reader.place());
    if (const auto* row = std::get_if<record::StepRow>(&*line)) rates.add(*row, reader.place());
  }
  rates.require_same();
  const fs::path loads = fs::path(metrics).replace_filename("load.columns");
  if (!is_finished || !fs::exists(loads)) return reader.step();
  const int64_t size = InputFile(loads).size_bytes();
  require<DataError>(size == reader.loads_end_byte(), loads.string(), ": got ", size,
                     " bytes of a run that is finished; need ", reader.loads_end_byte(),
                     ", the end of the loads of its last line");
  return reader.step();
}

// Of a run that is finished.
void require_all_steps(int64_t n_steps, int64_t reached, const fs::path& metrics) {
  const InputFile file(metrics);
  char last = '\n';
  if (file.size_bytes() > 0) file.read(file.size_bytes() - 1, &last, 1);
  require<DataError>(last == '\n', metrics.string(),
                     ": got a last line without its end, and a run that is finished; need the file as the run left it");
  require<DataError>(reached == n_steps, metrics.string(), ": got lines up to step ", reached,
                     " of a run that is finished; need ", n_steps, ", as resolved.json says");
}

Json without_place(Json results) {
  for (const char* key : {"machine", "recipe"}) results.erase(key);
  return results;
}

void require_own_results(const fs::path& run) {
  const fs::path path = run / "results.json";
  const Json results = read_json(path);
  const auto difference = with_path(path, results, [&] {
    const auto made = run_results(read_arm(run, results.at("title").as_string()), results.at("machine"));
    return results_difference(without_place(results), without_place(Json::parse(made.dump(), "results")),
                              is_of_this_version(results));
  });
  require<DataError>(!difference, path.string(), ": ", difference.value_or(""),
                     ", which the run's other files give (without results.json, train --resume makes it anew)");
}

}  // namespace

void check_run_files(const fs::path& run) {
  const fs::path metrics = run / "metrics.jsonl", resolved_path = run / "resolved.json";
  const bool is_finished = fs::exists(run / "results.json");
  Arm arm;
  arm.run = run;
  arm.resolved = read_json(resolved_path);
  require_resolved_recipe(arm.resolved, resolved_path.string());
  const auto recipe = with_path(resolved_path, arm.resolved, [&] {
    check_resolved_beside_checkpoint(arm, is_finished);
    return LineCheck(arm.resolved, arm_model(arm));
  });
  auto rates = with_path(resolved_path, arm.resolved, [&] { return RateCheck(arm); });
  const int64_t reached = last_step_of(metrics, recipe, std::move(rates), is_finished);
  if (!is_finished) return;
  require_all_steps(recipe.n_steps(), reached, metrics);
  require_own_results(run);
  check_tables(run);
}

}  // namespace evenkeel::train
