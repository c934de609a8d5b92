#include "study/matrix.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "data/objectives/objective.h"
#include "train/inputs.h"
#include "train/scoring.h"

namespace evenkeel::study {
namespace {

const ConfigNode& need(const ConfigNode& table, const char* key, const char* what) {
  const ConfigNode* node = table.find(key);
  require<ConfigError>(node != nullptr, table.where, ": got ", what, " without '", key, "'; need it");
  return *node;
}

void check_name(const std::string& name, const std::string& where) {
  const bool is_plain =
      !name.empty() && name.size() <= 100 && name[0] != '.' &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+=,") ==
          std::string::npos;
  require<ConfigError>(is_plain, where, ": got the arm name '", name,
                       "'; need letters, digits and -_.+=, (it names a folder)");
}

// Only these phases, in this order.
void select_phases(ConfigNode& recipe, const ConfigNode& names) {
  std::vector<std::string> wanted;
  read_value(names, "phases", wanted);
  ConfigNode* phases = recipe.find("phase");
  require<ConfigError>(phases != nullptr && phases->is_list(), names.where,
                       ": got phases for a recipe without [[phase]]; need phases to choose from");
  ConfigNode::List chosen;
  for (const auto& name : wanted) {
    const size_t before = chosen.size();
    for (const auto& phase : phases->list()) {
      const ConfigNode* phase_name = phase.find("name");
      if (phase_name != nullptr && phase_name->is_string() && std::get<std::string>(phase_name->value) == name)
        chosen.push_back(phase);
    }
    require<ConfigError>(chosen.size() > before, names.where, ": got phases with '", name,
                         "'; need the name of a phase of the recipe");
  }
  phases->list() = std::move(chosen);
}

// A value inside of a name: 0.4, true, or the text.
std::string name_of_value(const ConfigNode& node) {
  if (node.is_string()) return std::get<std::string>(node.value);
  if (const ConfigNode* name = node.find("name")) return name_of_value(*name);
  return node.to_json().dump();
}

std::string plain(std::string text) {
  for (char& c : text)
    if (std::string_view("/\\ \"'{}[]:").find(c) != std::string_view::npos) c = '_';
  return text;
}

struct Change {
  std::string name, group;
  ConfigNode table;  // keys of a recipe
  const ConfigNode* phases = nullptr;
};

std::vector<Change> listed_arms(const ConfigNode& list) {
  if (!list.is_list() || list.list().empty()) fail_kind(list, "study.arms", "a list of tables, each with a name");
  std::vector<Change> out;
  for (const auto& arm : list.list()) {
    if (!arm.is_table()) fail_kind(arm, "study.arms", "a list of tables, each with a name");
    Change change;
    read_value(need(arm, "name", "an arm"), "study.arms.name", change.name);
    change.group = change.name;
    change.table = arm;
    change.table.erase("name");
    change.phases = arm.find("phases");
    change.table.erase("phases");
    out.push_back(std::move(change));
  }
  return out;
}

// "key.path" = value as a tree; a key may be nested tables already.
void collect_axes(const ConfigNode& table, const std::string& path,
                  std::vector<std::pair<std::string, const ConfigNode*>>& axes) {
  for (const auto& [key, node] : table.table()) {
    if (node.is_table()) {
      collect_axes(node, join_path(path, key), axes);
    } else {
      if (!node.is_list() || node.list().empty())
        fail_kind(node, "study.matrix." + join_path(path, key), "a list of values");
      axes.emplace_back(join_path(path, key), &node);
    }
  }
}

void set_path(ConfigNode& root, const std::string& path, const ConfigNode& value) {
  const size_t dot = path.find('.');
  if (dot == std::string::npos) {
    ConfigNode leaf = value;
    if (leaf.is_table()) leaf.erase("name");  // a table of the matrix may carry a name for the arm
    root.set(path, leaf);
    return;
  }
  const std::string head = path.substr(0, dot);
  if (root.find(head) == nullptr) root.set(head, config_table(value.where, value.folder));
  set_path(*root.find(head), path.substr(dot + 1), value);
}

std::vector<Change> matrix_arms(const ConfigNode& matrix) {
  if (!matrix.is_table()) fail_kind(matrix, "study.matrix", "a table of key.path = [values]");
  std::vector<std::pair<std::string, const ConfigNode*>> axes;
  collect_axes(matrix, "", axes);
  require<ConfigError>(!axes.empty(), matrix.where, ": got an empty matrix; need at least one key with values");
  std::vector<Change> out = {{"", "", config_table(matrix.where, matrix.folder), nullptr}};
  constexpr size_t kMaxArms = 10000;
  for (const auto& [path, values] : axes) {
    std::vector<Change> longer;
    for (const auto& change : out) {
      for (const auto& value : values->list()) {
        Change next = change;
        const std::string key = path.substr(path.rfind('.') + 1);
        const bool says_itself = value.is_string() || value.is_table();
        const std::string part = plain((says_itself ? "" : key) + name_of_value(value));
        next.name += (next.name.empty() ? "" : "-") + part;
        if (path != "train.seed") next.group += (next.group.empty() ? "" : "-") + part;
        set_path(next.table, path, value);
        longer.push_back(std::move(next));
      }
    }
    require<ConfigError>(longer.size() <= kMaxArms, matrix.where, ": got a matrix of more than ", kMaxArms,
                         " arms; need fewer");
    out = std::move(longer);
  }
  for (auto& change : out)
    if (change.group.empty()) change.group = "all";  // seeds are the only axis
  return out;
}

std::string text_of(const ConfigNode* node) {
  return node != nullptr && node->is_string() ? std::get<std::string>(node->value) : "";
}

// Of a table whose `kind` says what its other keys are. "" where the changes name none or the one that it has.
std::string other_kind(const ConfigNode& recipe, const ConfigNode& changes, const char* key, const char* default_kind) {
  const auto kind_of = [&](const ConfigNode& tables) {
    const ConfigNode* table = tables.find(key);
    return table != nullptr ? text_of(table->find("kind")) : "";
  };
  const std::string is = kind_of(changes), was = kind_of(recipe);
  return is == (was.empty() ? default_kind : was) ? "" : is;
}

// The keys of another kind do not fit.
void drop_other_kind(ConfigNode& recipe, const ConfigNode& changes, const KindTable& table) {
  const std::string path = table.path, key = path.substr(path.rfind('.') + 1);
  if (!other_kind(recipe, changes, key.c_str(), table.default_kind).empty()) recipe.erase(key);
}

// Of a schedule's, those that the other kind has not: all kinds have a warm-up and lr_max.
void drop_keys_of_other_schedule(ConfigNode& phase, const ConfigNode& changes) {
  const std::string is = other_kind(phase, changes, "schedule", "constant");
  ConfigNode* schedule = phase.find("schedule");
  if (is.empty() || schedule == nullptr || !schedule->is_table()) return;
  for (const auto& kind : optim::schedule_kinds()) {
    if (is != kind.name) continue;
    const auto keys = kind.keys("");
    std::erase_if(schedule->table(), [&](const ConfigNode::Entry& entry) {
      return std::none_of(keys.begin(), keys.end(), [&](const ConfigKey& key) { return key.key == entry.key; });
    });
  }
}

void drop_other_kinds_of_phases(ConfigNode& recipe, const ConfigNode& changes) {
  ConfigNode* phases = recipe.find("phase");
  const ConfigNode* changed = changes.find("phase");
  if (phases == nullptr || !phases->is_list() || changed == nullptr) return;
  const auto drop = [&](const std::string& name, const ConfigNode& change) {
    for (auto& phase : phases->list()) {
      if (!phase.is_table() || text_of(phase.find("name")) != name) continue;
      drop_other_kind(phase, change, data::kObjectiveTable);
      drop_keys_of_other_schedule(phase, change);
    }
  };
  if (changed->is_table()) {
    for (const auto& [name, change] : changed->table()) drop(name, change);
  } else if (changed->is_list()) {
    for (const auto& change : changed->list()) drop(text_of(change.find("name")), change);
  }
}

void merge_recipe(ConfigNode& recipe, const ConfigNode& changes) {
  drop_other_kind(recipe, changes, optim::kOptimizerTable);
  drop_other_kinds_of_phases(recipe, changes);
  ConfigNode* model = recipe.find("model");
  const ConfigNode* changed_model = changes.find("model");
  if (model == nullptr || changed_model == nullptr) return merge_config(recipe, changes);
  ConfigNode flat_changes = changes;  // each key in one place, so that a change meets what it changes
  flat_changes.set("model", model::with_flat_keys(*changed_model));
  *model = model::with_flat_keys(*model);
  model::drop_replaced(*model, *flat_changes.find("model"), model::Over::recipe);
  merge_config(recipe, flat_changes);
}

ConfigNode base_recipe(const ConfigNode& root, const StudyTable& study) {
  ConfigNode rest = root;
  rest.erase("study");
  if (!study.base) return rest;
  ConfigNode recipe = read_toml(study.base->value);
  merge_recipe(recipe, rest);
  return recipe;
}

void write_toml_value(const ConfigNode& node, std::string& out) {
  if (node.is_table()) {
    out += "{";
    bool first = true;
    for (const auto& [key, child] : node.table()) {
      out += (first ? "" : ", ") + Json(key).dump() + " = ";
      first = false;
      write_toml_value(child, out);
    }
    out += "}";
  } else if (node.is_list()) {
    out += "[";
    for (size_t i = 0; i < node.list().size(); ++i) {
      if (i > 0) out += ", ";
      write_toml_value(node.list()[i], out);
    }
    out += "]";
  } else {
    out += node.to_json().dump();
  }
}

// The merged recipe as TOML, so that an arm's run can be repeated by itself. Paths are made absolute.
std::string recipe_toml(const ConfigNode& recipe) {
  std::string out;
  const auto write_table = [&](const std::string& header, const ConfigNode& table) {
    out += header + "\n";
    for (const auto& [key, child] : table.table()) {
      out += (key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
                      std::string::npos
                  ? key
                  : Json(key).dump()) +
             " = ";
      write_toml_value(child, out);
      out += "\n";
    }
    out += "\n";
  };
  for (const auto& [key, node] : recipe.table()) {
    if (node.is_table()) write_table("[" + key + "]", node);
    if (node.is_list())
      for (const auto& item : node.list()) write_table("[[" + key + "]]", item);
  }
  return out;
}

void make_absolute(ConfigNode& path) {
  if (!path.is_string() || std::get<std::string>(path.value).empty()) return;
  const std::filesystem::path given(std::get<std::string>(path.value));
  if (!given.is_absolute())
    path.value = std::filesystem::absolute(std::filesystem::path(path.folder) / given).lexically_normal().string();
}

void make_data_paths_absolute(ConfigNode& node) {
  if (node.is_list())
    for (auto& item : node.list()) make_data_paths_absolute(item);
  if (!node.is_table()) return;
  for (auto& [key, child] : node.table()) {
    if (key == "path") make_absolute(child);
    make_data_paths_absolute(child);
  }
}

// Every path of the recipe: those of data, model.from, and start.from where it names no earlier phase.
void make_paths_absolute(ConfigNode& recipe) {
  make_data_paths_absolute(recipe);
  if (ConfigNode* model = recipe.find("model"))
    if (ConfigNode* from = model->find("from")) make_absolute(*from);
  ConfigNode* phases = recipe.find("phase");
  if (phases == nullptr || !phases->is_list()) return;
  std::set<std::string> earlier;
  for (auto& phase : phases->list()) {
    ConfigNode* start = phase.find("start");
    ConfigNode* from = start == nullptr ? nullptr : start->find("from");
    if (from != nullptr && from->is_string() && !earlier.contains(std::get<std::string>(from->value)))
      make_absolute(*from);
    if (const ConfigNode* name = phase.find("name"); name != nullptr && name->is_string())
      earlier.insert(std::get<std::string>(name->value));
  }
}

}  // namespace

StudyPlan read_study(const ConfigNode& root) {
  const ConfigNode* study = root.find("study");
  require<ConfigError>(study != nullptr && study->is_table(), root.where,
                       ": got no [study]; need one with arms or matrix (or use evenkeel train)");
  StudyTable table;
  read_value(*study, "study", table);
  const ConfigNode *arms = study->find("arms"), *matrix = study->find("matrix");
  require<ConfigError>((arms != nullptr) != (matrix != nullptr), study->where, ": got [study] with ",
                       arms != nullptr ? "both arms and matrix" : "neither arms nor matrix", "; need one of them");
  const std::vector<int64_t>& seeds = table.seeds;
  if (const ConfigNode* node = study->find("seeds"))
    require<ConfigError>(!seeds.empty() && std::set<int64_t>(seeds.begin(), seeds.end()).size() == seeds.size(),
                         node->where, ": got study.seeds = ", node->shown(), "; need distinct seeds");
  StudyPlan plan;
  plan.title = table.title;
  const ConfigNode base = base_recipe(root, table);
  const ConfigNode* phases = study->find("phases");

  std::set<std::string> names;
  train::ScoringCheck scoring;
  for (const auto& change : arms != nullptr ? listed_arms(*arms) : matrix_arms(*matrix)) {
    const ConfigNode* train = change.table.find("train");
    require<ConfigError>(seeds.empty() || train == nullptr || train->find("seed") == nullptr, change.table.where,
                         ": got train.seed of arm '", change.name, "' beside study.seeds; need one of them");
    for (size_t i = 0; i < std::max<size_t>(1, seeds.size()); ++i) {
      ArmPlan arm;
      arm.group = change.group;
      arm.name = seeds.size() > 1 ? change.name + "-seed" + std::to_string(seeds[i]) : change.name;
      arm.recipe = base;
      merge_recipe(arm.recipe, change.table);
      const ConfigNode* chosen = change.phases != nullptr ? change.phases : phases;
      if (chosen != nullptr) select_phases(arm.recipe, *chosen);
      if (!seeds.empty()) apply_override(arm.recipe, "train.seed=" + std::to_string(seeds[i]));
      make_paths_absolute(arm.recipe);
      check_name(arm.name, change.table.where);
      require<ConfigError>(names.insert(arm.name).second, change.table.where, ": got the arm name '", arm.name,
                           "' twice; need distinct names");
      try {
        arm.config = train::open_run_config(arm.recipe);
        scoring.add(arm.config, arm.name);
      } catch (const ConfigError& error) {
        fail<ConfigError>("arm ", arm.name, ": ", error.what());
      }
      arm.text = recipe_toml(arm.recipe);
      if (const ConfigNode* model = change.table.find("model"))
        arm.warning = model::kept_balance_warning(*model, arm.config.model);
      plan.arms.push_back(std::move(arm));
    }
  }
  return plan;
}

Table recipe_warnings(const StudyPlan& plan) {
  Table table;
  table.columns = {{"group", ""}, {"what", ""}};
  table.source =
      "what the study's recipe leaves unsaid and an arm trains with nevertheless, once for each group of arms that "
      "differ in the seed alone";
  std::set<std::string> groups;
  for (const auto& arm : plan.arms)
    if (!arm.warning.empty() && groups.insert(arm.group).second)
      table.add_row({arm.group, arm.warning.substr(arm.warning.find(": got ") + 2)});
  return table;
}

}  // namespace evenkeel::study
