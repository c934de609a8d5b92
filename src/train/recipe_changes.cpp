#include "train/recipe_changes.h"

#include <map>

#include "checkpoint/manifest.h"
#include "core/file_io.h"
#include "optim/adamw.h"

namespace evenkeel::train {
namespace {

void flatten(const Json& json, const std::string& path, std::map<std::string, std::string>& out) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.as_object()) flatten(value, join_path(path, key), out);
  } else if (json.is_array() && json.size() > 0 && json.at(0).is_object()) {
    for (size_t i = 0; i < json.size(); ++i) {
      const Json* name = json.at(i).find("name");
      flatten(json.at(i), join_path(path, name != nullptr ? name->as_string() : std::to_string(i)), out);
    }
  } else {
    out[path] = json.dump();
  }
}

bool counts_as_change(const std::string& path) {
  for (const char* pattern : {"*.path", "*.eval.*", "*.eval", "train.checkpoint_every", "train.keep_last", "*.start.from", "model.from"})
    if (optim::matches_pattern(path, pattern)) return false;
  return true;
}

}  // namespace

std::vector<std::string> changed_keys(const Json& before, const Json& after) {
  std::map<std::string, std::string> old_values, new_values;
  flatten(before, "", old_values);
  flatten(after, "", new_values);
  std::vector<std::string> out;
  for (const auto& [path, value] : old_values) {
    const auto found = new_values.find(path);
    const std::string now = found == new_values.end() ? "absent" : found->second;
    if (now != value && counts_as_change(path)) out.push_back(path + ": " + value + " -> " + now);
  }
  for (const auto& [path, value] : new_values)
    if (!old_values.contains(path) && counts_as_change(path)) out.push_back(path + ": absent -> " + value);
  return out;
}

std::vector<std::string> changes_since(const std::filesystem::path& run, const RunConfig& config) {
  const auto path = run / "resolved.json";
  if (!fs::exists(path) || checkpoint::saved_steps(run).empty()) return {};
  Json before = Json::parse(read_file(path), path.string());
  Json model = before.at("model"), from;
  if (const Json* found = model.find("from")) from = *found;
  std::erase_if(model.as_object(), [](const auto& entry) { return entry.first == "from"; });
  before["model"] = model::model_config_json(model::model_config_from_json(model, path.string()));
  if (!from.is_null()) before["model"]["from"] = from;
  return changed_keys(before, run_config_json(config));
}

std::string joined(const std::vector<std::string>& changes) {
  std::string all;
  for (const auto& change : changes) all += (all.empty() ? "" : "; ") + change;
  return all;
}

void require_same_recipe(const std::filesystem::path& run, const RunConfig& config) {
  const auto changes = changes_since(run, config);
  require<ConfigError>(changes.empty(), run.string(), ": got a recipe that differs from the run's (", joined(changes), "); need the same, or --allow-change");
}

}  // namespace evenkeel::train
