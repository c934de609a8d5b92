#include "train/check_run.h"

#include "core/counted.h"
#include "core/errors.h"
#include "core/input_file.h"
#include "core/json_difference.h"
#include "core/json_lines.h"
#include "record/run_reader.h"
#include "train/results.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;

// All lines and loads are read, and are of the model that resolved.json says.
int64_t last_step_of(const fs::path& metrics, const model::ModelConfig& config) {
  record::RunReader reader(metrics, record::all_loads);
  const auto n_layers = static_cast<size_t>(config.is_moe() ? config.moe_layers_below(config.n_layers) : 0);
  while (const auto line = reader.next()) {
    const auto* row = std::get_if<record::StepRow>(&*line);
    if (row == nullptr) continue;
    require<DataError>(row->routing.size() == n_layers, reader.place(), ": got ",
                       counted(static_cast<int64_t>(row->routing.size()), "layer"), " of 'routing'; need ", n_layers,
                       ", the layers with experts of resolved.json");
    for (const auto& layer : row->routing)
      require<DataError>(layer.load.empty() || static_cast<int64_t>(layer.load.size()) == config.n_experts,
                         reader.place(), ": got ", counted(static_cast<int64_t>(layer.load.size()), "share"),
                         " in a 'load'; need ", config.n_experts, ", the experts of resolved.json");
  }
  return reader.step();
}

// Of a run that is finished.
void require_all_steps(const Json& resolved, int64_t reached, const fs::path& metrics) {
  const InputFile file(metrics);
  char last = '\n';
  if (file.size_bytes() > 0) file.read(file.size_bytes() - 1, &last, 1);
  require<DataError>(last == '\n', metrics.string(),
                     ": got a last line without its end, and a run that is finished; need the file as the run left it");
  int64_t n_steps = 0;
  for (const auto& phase : resolved.at("phase").as_array()) n_steps += phase.at("steps").as_int();
  require<DataError>(reached == n_steps, metrics.string(), ": got lines up to step ", reached,
                     " of a run that is finished; need ", n_steps, ", as resolved.json says");
}

Json without_uncompared(Json results) {
  for (const char* key : {"machine", "recipe", "definitions"}) results.erase(key);
  return results;
}

void require_own_results(const fs::path& run) {
  const fs::path path = run / "results.json";
  const Json results = read_json(path);
  const Json needed =
      with_path(path, [&] { return run_results(run, results.at("machine"), results.at("title").as_string()); });
  const auto difference =
      first_difference(without_uncompared(results), without_uncompared(Json::parse(needed.dump(), "results")));
  require<DataError>(!difference, path.string(), ": ", difference.value_or(""),
                     ", which the run's other files give (without results.json, train --resume makes it anew)");
}

}  // namespace

void check_run_files(const fs::path& run) {
  const fs::path metrics = run / "metrics.jsonl", resolved_path = run / "resolved.json";
  Arm arm;
  arm.run = run;
  arm.resolved = read_json(resolved_path);
  const auto config = with_path(resolved_path, [&] { return arm_model(arm); });
  const int64_t reached = last_step_of(metrics, config);
  if (!fs::exists(run / "results.json")) return;
  with_path(resolved_path, [&] { require_all_steps(arm.resolved, reached, metrics); });
  require_own_results(run);
}

}  // namespace evenkeel::train
