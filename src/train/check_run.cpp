#include "train/check_run.h"

#include "core/counted.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/json_difference.h"
#include "core/json_lines.h"
#include "train/results.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;

// Lines of one file agree with each other; with the model they do when the first that has routing does.
void require_layers_of_model(const Arm& arm, const std::string& path) {
  const auto config = arm_model(arm);
  if (arm.steps.empty()) return;
  const Json* routing = arm.steps.front().find("routing");
  if (routing == nullptr) return;
  const size_t n_layers = config.moe_layers_below(config.n_layers);
  require<DataError>(routing->size() == n_layers, path, ": got ", counted(static_cast<int64_t>(routing->size()), "layer"), " of 'routing'; need ", n_layers, ", the layers with experts of resolved.json");
  for (const auto& layer : routing->as_array()) {
    const Json* load = layer.find("load");
    require<DataError>(load == nullptr || static_cast<int64_t>(load->size()) == config.n_experts, path, ": got ", counted(load != nullptr ? static_cast<int64_t>(load->size()) : 0, "share"), " in a 'load'; need ", config.n_experts,
                       ", the experts of resolved.json");
  }
}

void require_all_steps(const Arm& arm, const std::string& path) {
  const std::string text = read_file(path);
  require<DataError>(text.empty() || text.ends_with('\n'), path, ": got a last line without its end, and a run that is finished; need the file as the run left it");
  int64_t n_steps = 0;
  for (const auto& phase : arm.resolved.at("phase").as_array()) n_steps += phase.at("steps").as_int();
  const int64_t reached = static_cast<int64_t>(arm.steps.size());
  require<DataError>(reached == n_steps, path, ": got lines up to step ", reached, " of a run that is finished; need ", n_steps, ", as resolved.json says");
}

Json without_uncompared(Json results) {
  for (const char* key : {"machine", "recipe", "definitions"}) results.erase(key);
  return results;
}

void require_own_results(const fs::path& run) {
  const fs::path path = run / "results.json";
  const Json results = read_json(path);
  const Json needed = with_path(path, [&] { return run_results(run, results.at("machine"), results.at("title").as_string()); });
  const auto difference = first_difference(without_uncompared(results), without_uncompared(Json::parse(needed.dump(), "results")));
  require<DataError>(!difference, path.string(), ": ", difference.value_or(""), ", which the run's other files give (without results.json, train --resume makes it anew)");
}

}  // namespace

void check_run_files(const fs::path& run) {
  const Arm arm = read_arm("", "", run);
  const fs::path metrics = run / "metrics.jsonl";
  with_path(run / "resolved.json", [&] { require_layers_of_model(arm, metrics.string()); });
  if (!fs::exists(run / "results.json")) return;
  with_path(run / "resolved.json", [&] { require_all_steps(arm, metrics.string()); });
  require_own_results(run);
}

}  // namespace evenkeel::train
