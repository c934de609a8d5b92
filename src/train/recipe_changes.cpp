#include "train/recipe_changes.h"

#include <algorithm>
#include <functional>
#include <map>

#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "data/indexed_dataset.h"

namespace evenkeel::train {
namespace {

void flatten(const Json& json, const std::string& path, std::map<std::string, std::string>& out) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.as_object()) flatten(value, join_path(path, key), out);
  } else if (json.is_array() && json.size() > 0 && json.at(0).is_object()) {
    std::string names;  // their order counts too
    for (size_t i = 0; i < json.size(); ++i) {
      const Json* name = json.at(i).find("name");
      names += (names.empty() ? "" : ", ") + (name != nullptr ? name->as_string() : std::to_string(i));
      flatten(json.at(i), join_path(path, name != nullptr ? name->as_string() : std::to_string(i)), out);
    }
    out[path] = "[" + names + "]";
  } else {
    out[path] = json.dump();
  }
}

Json without_contents(Json recipe) {
  recipe.erase("contents");
  return recipe;
}

// A key of the recipe that says where something lies: the path there, and what it finds now.
struct Place {
  std::string key;
  std::string path;
  std::string group;                      // of "contents"
  std::function<std::string()> identity;  // throws where nothing can be read
};

std::vector<Place> places_of(const RunConfig& config) {
  std::vector<Place> out;
  const auto add_data = [&](const std::string& at, const auto& sources) {
    for (const auto& source : sources)
      out.push_back({at + ".data." + source.name + ".path", source.path.value, "data", [path = source.path.value] { return data::IndexedDataset::open(path).fingerprint(); }});
  };
  if (config.model_from) {
    const std::string path = config.model_from->value;
    out.push_back({"model.from", path, "starts", [path] { return checkpoint::folder_identity(checkpoint::open_model(path, std::nullopt, /*deep=*/false).folder); }});
  }
  for (size_t i = 0; i < config.phases.size(); ++i) {
    const PhaseConfig& phase = config.phases[i];
    const std::string at = "phase." + phase.name;
    add_data(at, phase.data);
    if (phase.replay) add_data(at + ".replay", phase.replay->data);
    if (phase.eval) add_data(at + ".eval", phase.eval->data);
    if (const std::string folder = external_start(config, i); !folder.empty())
      out.push_back({at + ".start.from", folder, "starts", [&config, i] { return checkpoint::folder_identity(phase_start(config, i).folder); }});
  }
  return out;
}

const Json* recorded(const Json& resolved, const Place& place) {
  const Json* contents = resolved.find("contents");
  const Json* group = contents != nullptr ? contents->find(place.group) : nullptr;
  return group != nullptr ? group->find(place.key) : nullptr;
}

// True where what lies at the place now is what the run began with.
bool is_as_recorded(const Json& resolved, const Place& place) {
  const Json* identity = recorded(resolved, place);
  if (identity == nullptr) return false;
  try {
    return identity->as_string() == place.identity();
  } catch (const Error&) {
    return false;  // nothing there that can be read: the change of the path stands
  }
}

bool has_begun(const fs::path& run) { return fs::exists(run / "resolved.json") && !checkpoint::saved_steps(run).empty(); }

// What a run goes on from has the recipe that made it; checkpoints that a study puts there have none yet.
void require_recipe(const fs::path& run) {
  require<ConfigError>(has_begun(run) || !fs::exists(run / "recipe.toml") || checkpoint::saved_steps(run).empty(), (run / "resolved.json").string(),
                       ": got no such file, and checkpoints; need the recipe that they were trained by, or train --allow-change");
}

void require_none(const std::vector<std::string>& changes, const fs::path& run) {
  require<ConfigError>(changes.empty(), run.string(), ": got a recipe that differs from the run's (", joined(changes), "); need the same, or train --allow-change");
}

}  // namespace

Json read_resolved(const fs::path& run) {
  const auto path = run / "resolved.json";
  Json out = read_json(path);
  for (const char* key : {"model", "train", "phase"}) require<DataError>(out.find(key) != nullptr, path.string(), ": got no key '", key, "'; need the resolved recipe");
  return out;
}

Json bearing_on_parameters(Json recipe) {
  recipe = without_contents(std::move(recipe));
  if (Json* train = recipe.find("train"))
    for (const char* key : {"checkpoint_every", "keep_last"}) train->erase(key);
  if (Json* phases = recipe.find("phase"))
    for (Json& phase : phases->as_array()) phase.erase("eval");
  return recipe;
}

std::vector<std::string> changed_keys(const Json& before, const Json& after) {
  std::map<std::string, std::string> old_values, new_values;
  flatten(without_contents(before), "", old_values);
  flatten(without_contents(after), "", new_values);
  std::vector<std::string> out;
  for (const auto& [path, value] : old_values) {
    const auto found = new_values.find(path);
    const std::string now = found == new_values.end() ? "absent" : found->second;
    if (now != value) out.push_back(path + ": " + value + " -> " + now);
  }
  for (const auto& [path, value] : new_values)
    if (!old_values.contains(path)) out.push_back(path + ": absent -> " + value);
  return out;
}

std::vector<std::string> changes_since(const fs::path& run, const RunConfig& config) {
  if (!has_begun(run)) return {};
  Json before = read_resolved(run);
  Json model = before.at("model"), from;
  if (const Json* found = model.find("from")) from = *found;
  model.erase("from");
  before["model"] = model::model_config_json(model::model_config_from_json(model, (run / "resolved.json").string()));
  if (!from.is_null()) before["model"]["from"] = from;
  auto changes = changed_keys(before, run_config_json(config));
  for (const auto& place : places_of(config)) {
    const auto change = std::find_if(changes.begin(), changes.end(), [&](const auto& text) { return text.starts_with(place.key + ": "); });
    if (change != changes.end() && is_as_recorded(before, place)) changes.erase(change);
  }
  return changes;
}

Json run_contents(const RunConfig& config, const InputData& data, const std::vector<PhaseStart>& starts) {
  Json sets = Json::object(), folders = Json::object();
  for (const auto& place : places_of(config)) {
    if (place.group == "data") sets[place.key] = data.at(place.path).fingerprint();
    if (place.key == "model.from") folders[place.key] = place.identity();
  }
  for (size_t i = 0; i < starts.size(); ++i)
    if (!starts[i].folder.empty()) folders["phase." + config.phases[i].name + ".start.from"] = checkpoint::folder_identity(starts[i].folder);
  return Json::Object{{"data", std::move(sets)}, {"starts", std::move(folders)}};
}

std::vector<std::string> changed_contents(const fs::path& run, const Json& contents) {
  if (!has_begun(run)) return {};
  const Json before = read_resolved(run);
  const Json* recorded_contents = before.find("contents");
  if (recorded_contents == nullptr) return {};
  std::vector<std::string> out;
  for (const auto& [key, identity] : recorded_contents->at("data").as_object()) {
    const Json* now = contents.at("data").find(key);
    if (now != nullptr && !(*now == identity)) out.push_back(key + ": other contents than the run began with");
  }
  return out;
}

std::string joined(const std::vector<std::string>& changes) {
  std::string all;
  for (const auto& change : changes) all += (all.empty() ? "" : "; ") + change;
  return all;
}

void require_same_recipe(const fs::path& run, const RunConfig& config) {
  require_recipe(run);
  require_none(changes_since(run, config), run);
}

void require_same_contents(const fs::path& run, const Json& contents) { require_none(changed_contents(run, contents), run); }

}  // namespace evenkeel::train
