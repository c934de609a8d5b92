#include "core/config_tree.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <toml++/toml.h>

#include "core/file_io.h"
#include "core/got_at.h"
#include "core/toml_text.h"

namespace evenkeel {

const ConfigNode* ConfigNode::find(std::string_view key) const {
  if (!is_table()) return nullptr;
  for (const auto& [name, child] : table())
    if (name == key) return &child;
  return nullptr;
}
ConfigNode* ConfigNode::find(std::string_view key) { return const_cast<ConfigNode*>(std::as_const(*this).find(key)); }

void ConfigNode::set(std::string_view key, ConfigNode node) {
  if (ConfigNode* found = find(key)) {
    *found = std::move(node);
  } else {
    table().push_back({std::string(key), std::move(node)});
  }
}

void ConfigNode::erase(std::string_view key) {
  std::erase_if(table(), [&](const Entry& entry) { return entry.key == key; });
}

Json ConfigNode::to_json() const {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag;
  if (const auto* integer = std::get_if<int64_t>(&value)) return *integer;
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (is_list()) {
    Json out = Json::array();
    for (const auto& item : list()) out.push_back(item.to_json());
    return out;
  }
  if (!is_table()) return Json();
  Json out = Json::object();
  for (const auto& [key, child] : table()) out[key] = child.to_json();
  return out;
}

std::string ConfigNode::shown() const {
  if (const auto* number = std::get_if<double>(&value); number != nullptr && !std::isfinite(*number))
    return format_double(*number);  // JSON has none
  std::string text = is_string() ? "'" + std::get<std::string>(value) + "'" : to_json().dump();
  if (text.size() > 120) text = text.substr(0, 117) + "...";
  return text;
}

const std::string& place_of(const ConfigNode& table, std::string_view key) {
  const ConfigNode* node = &table;
  while (!key.empty()) {
    const size_t end = std::min(key.find('.'), key.size());
    const ConfigNode* child = node->find(key.substr(0, end));
    if (child == nullptr) break;
    node = child;
    key.remove_prefix(std::min(end + 1, key.size()));
  }
  return node->where;
}

const std::string& place_of_either(const ConfigNode& table, std::string_view first, std::string_view second) {
  const std::string& of_second = place_of(table, second);
  return of_second.starts_with("--") ? of_second : place_of(table, first);
}

ConfigNode config_table(std::string where, std::string folder) {
  return {ConfigNode::Table{}, std::move(where), std::move(folder)};
}

ConfigNode config_from_json(const Json& json, const std::string& where) {
  ConfigNode out;
  out.where = where;
  if (json.is_object()) {
    out.value = ConfigNode::Table{};
    for (const auto& [key, value] : json.as_object())
      if (!value.is_null()) out.table().push_back({key, config_from_json(value, where)});
  } else if (json.is_array()) {
    out.value = ConfigNode::List{};
    for (const auto& value : json.as_array()) out.list().push_back(config_from_json(value, where));
  } else if (json.is_bool()) {
    out.value = json.as_bool();
  } else if (json.is_integer()) {
    out.value = json.as_int();
  } else if (json.is_number()) {
    out.value = json.as_double();
  } else if (json.is_string()) {
    out.value = json.as_string();
  }
  return out;
}

namespace {

std::string place(const std::string& name, const toml::source_region& source) {
  return name + ":" + std::to_string(source.begin.line) + ":" + std::to_string(source.begin.column);
}

ConfigNode convert(const toml::node& node, const std::string& name, const std::string& folder) {
  ConfigNode out;
  out.where = place(name, node.source());
  out.folder = folder;
  if (const auto* table = node.as_table()) {
    out.value = ConfigNode::Table{};
    for (const auto& [key, child] : *table) {
      ConfigNode converted = convert(child, name, folder);
      converted.where = place(name, key.source());
      out.table().push_back({std::string(key.str()), std::move(converted)});
    }
    // toml++ sorts keys; the order of the file reads better in resolved.json.
    std::stable_sort(out.table().begin(), out.table().end(),
                     [&](const ConfigNode::Entry& left, const ConfigNode::Entry& right) {
                       const auto begin = [&](const ConfigNode::Entry& entry) {
                         return table->find(entry.key)->first.source().begin;
                       };
                       return begin(left) < begin(right);
                     });
  } else if (const auto* array = node.as_array()) {
    out.value = ConfigNode::List{};
    for (const auto& child : *array) out.list().push_back(convert(child, name, folder));
  } else if (const auto* text = node.as_string()) {
    out.value = text->get();
  } else if (const auto* integer = node.as_integer()) {
    out.value = int64_t{integer->get()};
  } else if (const auto* number = node.as_floating_point()) {
    out.value = number->get();
  } else if (const auto* flag = node.as_boolean()) {
    out.value = flag->get();
  } else {
    fail<ConfigError>(out.where, ": got a date or time; need a number, string, boolean, list or table");
  }
  return out;
}

}  // namespace

ConfigNode parse_toml(std::string_view text, const std::string& name, const std::string& folder) {
  check_toml_text(text, name);
  try {
    const toml::table table = toml::parse(text, std::string_view(name));
    return convert(table, name, folder);
  } catch (const toml::parse_error& error) {
    const auto& stop = error.source().begin;
    if (const auto message = bare_value_message(text, name, {stop.line, stop.column})) fail<ConfigError>(*message);
    fail<ConfigError>(place(name, error.source()), ": got text that is not TOML (", error.description(),
                      "); need a TOML recipe");
  }
}

ConfigNode read_toml(const std::string& path) {
  constexpr int64_t kMaxRecipeBytes = 16 << 20;
  const std::string text = read_file(path, kMaxRecipeBytes);
  return parse_toml(text, path, std::filesystem::absolute(path).parent_path().string());
}

namespace {
// A phase's length is one setting in two units: the one that comes last stands.
void drop_other_length(ConfigNode& phase, const ConfigNode& change) {
  const bool has_tokens = change.find("tokens") != nullptr, has_steps = change.find("steps") != nullptr;
  if (has_tokens != has_steps) phase.erase(has_tokens ? "steps" : "tokens");
}
}  // namespace

namespace {
// Where the first '=' outside of quotes stands; the text's size when there is none.
size_t end_of_path(const std::string& assignment) {
  char quote = 0;
  for (size_t i = 0; i < assignment.size(); ++i) {
    const char c = assignment[i];
    if (quote == 0 && c == '=') return i;
    if (quote == 0 ? c == '"' || c == '\'' : c == quote) quote = quote == 0 ? c : '\0';
  }
  return assignment.size();
}

// The keys of a dotted path; a key with a dot in it stands in quotes, as in TOML: phase."v1.5".steps.
std::vector<std::string> parts_of(const std::string& path, const std::string& where) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    const bool begins = parts.back().empty();
    if (begins && (c == '"' || c == '\'')) {
      const size_t end = path.find(c, i + 1);
      require<ConfigError>(end != std::string::npos && (end + 1 == path.size() || path[end + 1] == '.'), where,
                           ": got a path with ", c, " alone; need quotes around a whole key");
      parts.back() = path.substr(i + 1, end - i - 1);
      i = end;
    } else if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// The option is the place of all that its value holds.
void set_where(ConfigNode& node, const std::string& where) {
  node.where = where;
  if (node.is_table())
    for (auto& [key, child] : node.table()) set_where(child, where);
  if (node.is_list())
    for (auto& item : node.list()) set_where(item, where);
}
}  // namespace

void apply_override(ConfigNode& root, const std::string& assignment) {
  const size_t equals = end_of_path(assignment);
  require<ConfigError>(equals < assignment.size() && equals > 0, "--set: got '", assignment, "'; need key.path=value");
  const std::string path = assignment.substr(0, equals);
  const std::string text = assignment.substr(equals + 1);
  const std::string where = "--set " + path;
  const std::string folder = std::filesystem::current_path().string();
  ConfigNode leaf;
  try {
    const ConfigNode parsed = parse_toml("value = " + text, where, folder);
    if (parsed.table().size() == 1) {
      leaf = parsed.table()[0].node;
    } else {
      leaf.value = text;  // further lines, which are no part of a value
    }
  } catch (const ConfigError&) {
    leaf.value = text;  // a bare word is a string
  }
  set_where(leaf, where);
  leaf.folder = folder;

  // From the leaf up: each part of the path becomes a table that is then merged.
  ConfigNode* node = &root;
  const std::vector<std::string> parts = parts_of(path, where);
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    if (node->is_list()) {  // a list of named tables
      ConfigNode* found = nullptr;
      std::string names;
      for (auto& item : node->list()) {
        const ConfigNode* name = item.find("name");
        if (name == nullptr || !name->is_string()) continue;
        add_to_list(names, std::get<std::string>(name->value));
        if (std::get<std::string>(name->value) == parts[i]) found = &item;
      }
      require<ConfigError>(found != nullptr && !last, where, ": got '", parts[i], "'; need the name of a table in '",
                           i > 0 ? parts[i - 1] : "", "' (", names, "), and a key in it");
      node = found;
      continue;
    }
    require<ConfigError>(node->is_table() && !parts[i].empty(), where, ": got '", assignment,
                         "'; need the path of a key in tables");
    if (last) {
      node->set(parts[i], std::move(leaf));
      if (parts[0] == "phase" && parts.size() == 3) {
        ConfigNode change = config_table(where, folder);
        change.set(parts[i], ConfigNode{});
        drop_other_length(*node, change);
      }
      return;
    }
    if (node->find(parts[i]) == nullptr) node->set(parts[i], config_table(where, folder));
    node = node->find(parts[i]);
  }
}

namespace {
const std::string* name_of(const ConfigNode& node) {
  const ConfigNode* name = node.find("name");
  return name != nullptr ? std::get_if<std::string>(&name->value) : nullptr;
}
bool is_named_list(const ConfigNode& node) {
  return node.is_list() && !node.list().empty() &&
         std::all_of(node.list().begin(), node.list().end(), [](const auto& item) { return name_of(item) != nullptr; });
}
}  // namespace

void merge_config(ConfigNode& base, const ConfigNode& changes) {
  if (base.is_table() && changes.is_table()) {
    for (const auto& [key, change] : changes.table()) {
      ConfigNode* mine = base.find(key);
      // `data` and other plain lists are replaced whole; phases merge by name.
      const bool merges = mine != nullptr && ((mine->is_table() && change.is_table()) ||
                                              (key == "phase" && is_named_list(*mine) && change.is_table()) ||
                                              (key == "phase" && is_named_list(*mine) && is_named_list(change)));
      if (merges) {
        merge_config(*mine, change);
      } else {
        base.set(key, change);
      }
    }
    return;
  }
  const auto merge_named = [&](const std::string& name, const ConfigNode& change) {
    for (auto& item : base.list()) {
      if (const std::string* mine = name_of(item); mine != nullptr && *mine == name) {
        drop_other_length(item, change);
        return merge_config(item, change);
      }
    }
    require<ConfigError>(changes.is_list(), change.where, ": got phase '", name,
                         "'; need the name of a phase in the base");
    base.list().push_back(change);
  };
  if (changes.is_table()) {
    for (const auto& [name, change] : changes.table()) merge_named(name, change);
  } else {
    for (const auto& change : changes.list()) merge_named(*name_of(change), change);
  }
}

std::string nearest_name(const std::string& name, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 2) + 1;
  for (const auto& candidate : known) {
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (size_t i = 0; i < name.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i + 1;
      for (size_t j = 0; j < candidate.size(); ++j) {
        const size_t substituted = diagonal + (name[i] == candidate[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, substituted});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

void fail_unknown_key(const std::string& where, const std::string& path, const std::string& key,
                      const std::vector<std::string>& known) {
  const std::string nearest = nearest_name(key, known);
  std::string all;
  for (const auto& name : known) add_to_list(all, name);
  fail<ConfigError>(where, ": got unknown key '", join_path(path, key), "'; need ",
                    nearest.empty() ? "one of " + all : "a known key (did you mean '" + nearest + "'?)");
}

void fail_unknown_entry(const ConfigNode& table, const std::string& path, const ConfigNode::Entry& entry,
                        const std::vector<std::string>& known) {
  constexpr std::string_view kOwnKey = ".kind";
  const ConfigNode* kind = table.find("kind");
  const bool is_of_option = kind != nullptr && kind->where.starts_with("--") && kind->where.ends_with(kOwnKey);
  if (is_of_option && !entry.node.where.starts_with("--"))
    fail<ConfigError>(kind->where, ": got ", kind->shown(), " beside ", join_path(path, entry.key), " (",
                      entry.node.where, "), which it does not know; need a kind that does, or ",
                      kind->where.substr(0, kind->where.size() - kOwnKey.size()), "={kind = …} for the whole table");
  fail_unknown_key(entry.node.where, path, entry.key, known);
}

namespace {
// "WHERE: PATH", or "--set PATH" alone: `where` of what reads a text and says what it got.
std::string place_with_path(const ConfigNode& node, const std::string& path) {
  return names_path(node.where, path) ? node.where : node.where + ": " + path;
}
}  // namespace

void fail_kind(const ConfigNode& node, const std::string& path, const char* wanted) {
  fail<ConfigError>(got_at(node.where, path), node.shown(), "; need ", wanted);
}

void read_value(const ConfigNode& node, const std::string& path, bool& out) {
  if (!std::holds_alternative<bool>(node.value)) fail_kind(node, path, "true or false");
  out = std::get<bool>(node.value);
}

void read_value(const ConfigNode& node, const std::string& path, int64_t& out) {
  double number = NAN;
  if (const auto* integer = std::get_if<int64_t>(&node.value)) {
    out = *integer;
    return;
  }
  if (const auto* floating = std::get_if<double>(&node.value)) number = *floating;
  if (const auto* text = std::get_if<std::string>(&node.value))
    number = parse_count(*text, place_with_path(node, path));
  if (number != std::floor(number)) fail_kind(node, path, "a whole number");
  if (!(std::abs(number) < 9e15)) fail_kind(node, path, "a whole number below 9e15");
  out = static_cast<int64_t>(number);
}

void read_value(const ConfigNode& node, const std::string& path, double& out) {
  if (const auto* integer = std::get_if<int64_t>(&node.value)) {
    out = static_cast<double>(*integer);
  } else if (const auto* number = std::get_if<double>(&node.value); number != nullptr && std::isfinite(*number)) {
    out = *number;
  } else if (const auto count = node.is_string() ? count_of(std::get<std::string>(node.value)) : std::nullopt) {
    out = *count;
  } else {
    fail_kind(node, path, "a finite number");
  }
}

void read_value(const ConfigNode& node, const std::string& path, std::string& out) {
  if (!node.is_string()) fail_kind(node, path, "a string");
  out = std::get<std::string>(node.value);
}

void read_value(const ConfigNode& node, const std::string& path, Duration& out) {
  const Unit bare_unit = out.unit;
  if (node.is_string()) {
    out = parse_duration(std::get<std::string>(node.value), bare_unit, place_with_path(node, path));
    return;
  }
  read_value(node, path, out.value);
  if (!(out.value >= 0 && out.value < 1e18)) fail_kind(node, path, "a number that is not negative, below 1e18");
}

void read_value(const ConfigNode& node, const std::string&, ConfigNode& out) { out = node; }

}  // namespace evenkeel
