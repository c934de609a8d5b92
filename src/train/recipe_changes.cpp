#include "train/recipe_changes.h"

#include <algorithm>
#include <functional>
#include <map>

#include "checkpoint/families.h"
#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "data/indexed_dataset.h"
#include "data/objectives/objective.h"

namespace evenkeel::train {
namespace {

void flatten(const Json& json, const std::string& path, std::map<std::string, std::string>& out) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.as_object()) flatten(value, join_path(path, key), out);
  } else if (json.is_array() && json.size() > 0 && json.at(0).is_object()) {
    std::string names;  // their order counts too
    for (size_t i = 0; i < json.size(); ++i) {
      const Json* name = json.at(i).find("name");
      add_to_list(names, name != nullptr ? name->as_string() : std::to_string(i));
      flatten(json.at(i), join_path(path, name != nullptr ? name->as_string() : std::to_string(i)), out);
    }
    out[path] = "[" + names + "]";
  } else {
    out[path] = json.dump();
  }
}

// What resolved.json has beside the recipe.
Json recipe_alone(Json resolved) {
  for (const char* key : {"contents", "changed"}) resolved.erase(key);
  return resolved;
}

// Held-out sets of an earlier version, which are scored as causal text.
void score_causally(Json& phase, const Json& causal) {
  Json* eval = phase.find("eval");
  Json* sets = eval != nullptr && eval->is_object() ? eval->find("data") : nullptr;
  if (sets == nullptr) return;
  for (Json& set : sets->as_array())
    if (set.find("objective") == nullptr) set["objective"] = causal;
}

// The recipe of a run, with what came after the run was begun at its default, in its place: keys of the model, the
// objectives, the z-loss of the logits. One of today stays as it is.
Json in_todays_terms(Json recipe, const std::string& where) {
  Json* phases = recipe.find("phase");
  if (recipe.find("model") == nullptr || phases == nullptr) return recipe;
  Json model = recipe.at("model");
  Json::Object of_start;  // keys of [model] that say where its weights come from
  for (const char* key : {"from", "new_embeddings"}) {
    if (const Json* found = model.find(key)) of_start.emplace_back(key, *found);
    model.erase(key);
  }
  const auto config = model::model_config_from_json(model, where);
  const int64_t sequence_length = recipe.at("train").at("sequence_length").as_int();
  const Json causal = data::make_objective({}, {sequence_length, config.vocab_size})->options();
  for (Json& phase : phases->as_array()) {
    score_causally(phase, causal);
    if (phase.find("objective") != nullptr) continue;
    auto& keys = phase.as_object();
    const auto schedule =
        std::find_if(keys.begin(), keys.end(), [](const auto& key) { return key.first == "schedule"; });
    keys.emplace(schedule == keys.end() ? schedule : schedule + 1, "objective", causal);
  }
  if (recipe.at("train").find("logit_z_coefficient") == nullptr)
    recipe["train"]["logit_z_coefficient"] = evenkeel::to_json(TrainSettings{}.logit_z_coefficient);
  recipe["model"] = model::model_config_json(config);
  for (const auto& [key, value] : of_start) recipe["model"][key] = value;
  return recipe;
}

// A key of the recipe that says where something lies, and how to compare what lies there with what a run began with.
struct Place {
  std::string key;
  std::string path;
  std::string group;                                // of "contents"
  std::function<bool(const Json& recorded)> holds;  // throws where nothing can be read
};

bool folder_holds(const fs::path& folder, const Json& recorded) {
  if (recorded.is_string())
    return recorded.as_string() == checkpoint::folder_identity_v1(folder);  // of an earlier version
  const Json now = checkpoint::folder_record(folder, &recorded);
  return now.at("hash") == recorded.at("hash") && now.at("names") == recorded.at("names");
}

bool dataset_holds(const data::IndexedDataset& dataset, const Json& recorded) {
  if (recorded.is_string()) return recorded.as_string() == dataset.order_key();  // of an earlier version
  return recorded.at("hash").as_string() == dataset.contents().hash;
}

std::vector<Place> places_of(const RunConfig& config, InputData& data) {
  std::vector<Place> out;
  const auto add_data = [&](const std::string& at, const auto& sources) {
    for (const auto& source : sources)
      out.push_back({at + ".data." + source.name + ".path", source.path.value, "data",
                     [&data, path = source.path.value](const Json& recorded) {
                       return dataset_holds(data.datasets().open(path), recorded);
                     }});
  };
  if (config.model_from) {
    const std::string path = config.model_from->value;
    out.push_back({"model.from", path, "starts", [path](const Json& recorded) {
                     return folder_holds(checkpoint::open_model(path, std::nullopt, /*deep=*/false).folder, recorded);
                   }});
  }
  for (size_t i = 0; i < config.phases.size(); ++i) {
    const PhaseConfig& phase = config.phases[i];
    const std::string at = "phase." + phase.name;
    add_data(at, phase.data);
    if (phase.replay) add_data(at + ".replay", phase.replay->data);
    if (phase.eval) add_data(at + ".eval", phase.eval->data);
    if (const std::string folder = external_start(config, i); !folder.empty())
      out.push_back({at + ".start.from", folder, "starts", [&config, i](const Json& recorded) {
                       return folder_holds(phase_start(config, i).folder, recorded);
                     }});
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
  const Json* before = recorded(resolved, place);
  if (before == nullptr) return false;
  try {
    return place.holds(*before);
  } catch (const Error&) {
    return false;  // nothing there that can be read: the change of the path stands
  }
}

bool has_begun(const fs::path& run) {
  return fs::exists(run / "resolved.json") && !checkpoint::saved_steps(run).empty();
}

// What a run goes on from has the recipe that made it; checkpoints that a study puts there have none yet.
void require_recipe(const fs::path& run, std::string_view offer) {
  require<ConfigError>(has_begun(run) || !fs::exists(run / "recipe.toml") || checkpoint::saved_steps(run).empty(),
                       (run / "resolved.json").string(),
                       ": got no such file, and checkpoints; need the recipe that they were trained by, or ", offer);
}

void require_none(const std::vector<std::string>& changes, const fs::path& run, std::string_view offer) {
  require<ConfigError>(changes.empty(), run.string(), ": got a recipe that differs from the run's (", joined(changes),
                       "); need the same, or ", offer);
}

}  // namespace

Json read_resolved(const fs::path& run) {
  const auto path = run / "resolved.json";
  Json out = read_json(path);
  for (const char* key : {"model", "train", "phase"})
    require<DataError>(out.find(key) != nullptr, path.string(), ": got no key '", key, "'; need the resolved recipe");
  return out;
}

Json bearing_on_parameters(Json recipe) {
  recipe = in_todays_terms(recipe_alone(std::move(recipe)), "resolved.json");
  if (Json* train = recipe.find("train"))
    for (const char* key : {"checkpoint_every", "keep_last"}) train->erase(key);
  if (Json* phases = recipe.find("phase"))
    for (Json& phase : phases->as_array()) phase.erase("eval");
  return recipe;
}

std::vector<std::string> changed_keys(const Json& before, const Json& after) {
  std::map<std::string, std::string> old_values, new_values;
  flatten(recipe_alone(before), "", old_values);
  flatten(recipe_alone(after), "", new_values);
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

namespace {

// The resolved.json of a run.
struct Resolved {
  explicit Resolved(const fs::path& run) : path(run / "resolved.json"), json(read_resolved(run)) {}
  fs::path path;
  Json json;
};

// Between `before`, a recipe of the run, and `config`. The contents that the run began with are those of `resolved`.
std::vector<std::string> changes_between(Json before, const Resolved& resolved, const RunConfig& config,
                                         InputData& data) {
  Json after = run_config_json(config);
  before = in_todays_terms(std::move(before), resolved.path.string());
  for (Json* recipe : {&before, &after})
    for (const char* key : {"allow_mixed_tokenizers", "on_collapse"})
      (*recipe)["train"].erase(key);  // they decide nothing that is trained
  auto changes = changed_keys(before, after);
  for (const auto& place : places_of(config, data)) {
    const auto change = std::find_if(changes.begin(), changes.end(),
                                     [&](const auto& text) { return text.starts_with(place.key + ": "); });
    if (change != changes.end() && is_as_recorded(resolved.json, place)) changes.erase(change);
  }
  return changes;
}

}  // namespace

std::vector<std::string> changes_since(const fs::path& run, const RunConfig& config, InputData& data) {
  if (!has_begun(run)) return {};
  const Resolved resolved(run);
  return with_path(resolved.path, resolved.json,
                   [&] { return changes_between(resolved.json, resolved, config, data); });
}

bool had_recipe(const fs::path& run, const RunConfig& config, InputData& data) {
  if (!has_begun(run)) return false;
  const Resolved resolved(run);
  const auto is_of = [&](const Json& recipe) { return changes_between(recipe, resolved, config, data).empty(); };
  return with_path(resolved.path, resolved.json, [&] {
    if (is_of(resolved.json)) return true;
    const Json* changed = resolved.json.find("changed");
    if (changed == nullptr) return false;
    const auto& entries = changed->as_array();
    return std::any_of(entries.begin(), entries.end(), [&](const Json& entry) { return is_of(entry.at("from")); });
  });
}

Json recorded_changes(const fs::path& run, const std::vector<std::string>& changes, int64_t step) {
  if (!has_begun(run)) return Json::array();
  const Json resolved = read_resolved(run);
  const Json* before = resolved.find("changed");
  Json out = before != nullptr ? *before : Json::array();
  if (!changes.empty())
    out.push_back(Json::Object{{"step", step}, {"changes", Json(changes)}, {"from", recipe_alone(resolved)}});
  return out;
}

Json run_contents(const RunConfig& config, InputData& data, const std::vector<PhaseStart>& starts,
                  const fs::path& run) {
  const Json before = fs::exists(run / "resolved.json") ? read_resolved(run) : Json::object();
  Json sets = Json::object(), folders = Json::object();
  for (const auto& place : places_of(config, data)) {
    if (place.group == "data") {
      sets[place.key] = data.at(place.path).contents_record();
      sets[place.key]["path"] = place.path;
      continue;
    }
    const Json* known = recorded(before, place);
    if (known != nullptr && !known->is_object()) known = nullptr;
    for (size_t i = 0; i < starts.size(); ++i)
      if (!starts[i].folder.empty() && place.key == "phase." + config.phases[i].name + ".start.from")
        folders[place.key] = checkpoint::folder_record(starts[i].folder, known);
    if (place.key == "model.from")
      folders[place.key] =
          checkpoint::folder_record(checkpoint::open_model(place.path, std::nullopt, /*deep=*/false).folder, known);
  }
  return Json::Object{{"data", std::move(sets)}, {"starts", std::move(folders)}};
}

std::vector<std::string> changed_contents(const fs::path& run, const RunConfig& config, InputData& data) {
  if (!has_begun(run)) return {};
  const Json before = read_resolved(run);
  std::vector<std::string> out;
  for (const auto& place : places_of(config, data)) {
    const Json* known = recorded(before, place);
    // Where a run or checkpoint is the start, it may have gone on since: what was taken from it is in this run's
    // checkpoints.
    if (known == nullptr || (place.group == "starts" && !checkpoint::is_hf_folder(place.path))) continue;
    if (!place.holds(*known)) out.push_back(place.key + ": other contents than the run began with");
  }
  return out;
}

std::string joined(const std::vector<std::string>& changes) {
  std::string all;
  for (const auto& change : changes) all += (all.empty() ? "" : "; ") + change;
  return all;
}

void require_same_recipe(const fs::path& run, const RunConfig& config, InputData& data, std::string_view offer) {
  require_recipe(run, offer);
  require_none(changes_since(run, config, data), run, offer);
}

void require_same_contents(const fs::path& run, const RunConfig& config, InputData& data, std::string_view offer) {
  require_none(changed_contents(run, config, data), run, offer);
}

}  // namespace evenkeel::train
