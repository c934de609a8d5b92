// A recipe as a tree of values that know where they came from, and the fields protocol: a config struct
// lists its fields once, in visit_fields, and reading, help, checks, resolved.json all follow that list.
//
//   struct OptimizerConfig {
//     double eps = 1e-8;
//     static void visit_fields(auto& config, auto&& field) { field("eps", config.eps, "added to the root"); }
//   };
// core/config_keys.h lists the keys from the same fields.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/errors.h"
#include "core/got_at.h"
#include "core/json.h"
#include "core/named.h"
#include "core/units.h"

namespace evenkeel {

struct ConfigNode {
  struct Entry;  // a key and its node; no std::pair, which would ask for a complete ConfigNode inside of itself
  using List = std::vector<ConfigNode>;
  using Table = std::vector<Entry>;
  std::variant<std::monostate, bool, int64_t, double, std::string, List, Table> value;
  std::string where;   // "recipe.toml:12:3" or "--set train.seed"
  std::string folder;  // relative paths in this value start here

  bool is_table() const { return std::holds_alternative<Table>(value); }
  bool is_list() const { return std::holds_alternative<List>(value); }
  bool is_empty() const { return std::holds_alternative<std::monostate>(value); }
  bool is_string() const { return std::holds_alternative<std::string>(value); }
  const Table& table() const { return std::get<Table>(value); }
  Table& table() { return std::get<Table>(value); }
  const List& list() const { return std::get<List>(value); }
  List& list() { return std::get<List>(value); }
  const ConfigNode* find(std::string_view key) const;  // nullptr when absent or when this is no table
  ConfigNode* find(std::string_view key);
  void set(std::string_view key, ConfigNode node);  // adds or replaces
  void erase(std::string_view key);
  std::string shown() const;  // the value for an error message
  Json to_json() const;
};

struct ConfigNode::Entry {
  std::string key;
  ConfigNode node;
};

// Where the key stands in the table, or where the table stands. Of a dotted key: the deepest part that is there.
const std::string& place_of(const ConfigNode& table, std::string_view key);
// Of two keys that contradict each other: where the second stands if it was given on the command line, else the first.
const std::string& place_of_either(const ConfigNode& table, std::string_view first, std::string_view second);
ConfigNode config_table(std::string where, std::string folder = "");
// The tree of a JSON value, as resolved.json and state.json hold a recipe; keys that are null are absent. Every node is
// at `where`.
ConfigNode config_from_json(const Json& json, const std::string& where);
ConfigNode parse_toml(std::string_view text, const std::string& name, const std::string& folder);
ConfigNode read_toml(const std::string& path);  // errors name the file and line

// "key.path=value": the value is TOML, a bare word is a string. Lists of tables are addressed by their
// `name`, as in phase.german.tokens="1M tokens".
void apply_override(ConfigNode& root, const std::string& assignment);
// Everything in `changes` replaces what `base` has; tables merge key by key, lists of named tables by name.
void merge_config(ConfigNode& base, const ConfigNode& changes);

// The known name nearest to `name`, or "" when none is near.
std::string nearest_name(const std::string& name, const std::vector<std::string>& known);
[[noreturn]] void fail_unknown_key(const std::string& where, const std::string& path, const std::string& key,
                                   const std::vector<std::string>& known);
// The same for the entry of a table. Where the table's `kind` was given on the command line and the key was not, it is
// the kind that does not fit.
[[noreturn]] void fail_unknown_entry(const ConfigNode& table, const std::string& path, const ConfigNode::Entry& entry,
                                     const std::vector<std::string>& known);
[[noreturn]] void fail_kind(const ConfigNode& node, const std::string& path, const char* wanted);

// ---- reading one value ----
void read_value(const ConfigNode& node, const std::string& path, bool& out);
void read_value(const ConfigNode& node, const std::string& path, int64_t& out);  // also 2e6 and "2M"
void read_value(const ConfigNode& node, const std::string& path, double& out);
void read_value(const ConfigNode& node, const std::string& path, std::string& out);
void read_value(const ConfigNode& node, const std::string& path, Duration& out);
void read_value(const ConfigNode& node, const std::string& path, ConfigNode& out);  // kept for a registry

// An enum by one of its names (core/named.h).
template <HasNames T>
void read_value(const ConfigNode& node, const std::string& path, T& out) {  // ConfigError with the names that there are
  std::string text;
  read_value(node, path, text);
  const auto value = value_named<T>(text);
  require<ConfigError>(value.has_value(), got_at(node.where, path), "'", text, "'; need one of: ", list_of_names<T>());
  out = *value;
}

// What a list of fields says of a key beside its name.
struct About {
  const char* meaning;
  const char* unit;
  const char* absent;  // what holds without the key, in words, where it is not the value in the struct; nullptr: it is
  constexpr About(const char* what, const char* its_unit = "", const char* without = nullptr)
      : meaning(what), unit(its_unit), absent(without) {}
};
inline constexpr const char* kRequired = "required";  // as About::absent: there is no default

template <class T>
concept HasFields = requires(T& config) {
  T::visit_fields(config, [](const char*, auto&, About) {});
};

template <HasFields T>
void read_value(const ConfigNode& node, const std::string& path, T& out);
template <class T>
void read_value(const ConfigNode& node, const std::string& path, std::optional<T>& out);
template <class T>
void read_value(const ConfigNode& node, const std::string& path, std::vector<T>& out);

inline std::string join_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : path + "." + std::string(key);
}

// A table whose `kind` says what its other keys are: those of Options.
template <HasFields Options>
struct WithKind {
  std::string kind;
  Options options;
  static void visit_fields(auto& table, auto&& field) {
    field("kind", table.kind, "which kind");
    Options::visit_fields(table.options, field);
  }
};

template <HasFields T>
void read_value(const ConfigNode& node, const std::string& path, T& out) {
  if (!node.is_table()) fail_kind(node, path, "a table");
  std::vector<std::string> known;
  T::visit_fields(out, [&](const char* name, auto& value, About) {
    known.emplace_back(name);
    if (const ConfigNode* child = node.find(name)) read_value(*child, join_path(path, name), value);
  });
  for (const auto& entry : node.table()) {
    bool is_known = false;
    for (const auto& name : known) is_known = is_known || name == entry.key;
    if (!is_known) fail_unknown_entry(node, path, entry, known);
  }
}

template <class T>
void read_value(const ConfigNode& node, const std::string& path, std::optional<T>& out) {
  read_value(node, path, out.emplace());
}

template <class T>
void read_value(const ConfigNode& node, const std::string& path, std::vector<T>& out) {
  if (!node.is_list()) fail_kind(node, path, "a list");
  out.clear();
  for (size_t i = 0; i < node.list().size(); ++i)
    read_value(node.list()[i], path + "[" + std::to_string(i) + "]", out.emplace_back());
}

// ---- writing ----
inline Json to_json(bool value) { return value; }
inline Json to_json(int64_t value) { return value; }
inline Json to_json(double value) { return value; }
inline Json to_json(const std::string& value) { return value; }
inline Json to_json(const Duration& value) {
  if (value.unit == Unit::fraction) return value.value;
  return to_string(value);
}
inline Json to_json(const ConfigNode& value) { return value.to_json(); }
template <HasNames T>
Json to_json(T value) {
  return name_of(value);
}
template <HasFields T>
Json to_json(const T& config);
template <class T>
Json to_json(const std::optional<T>& value) {
  return value ? to_json(*value) : Json();
}
template <class T>
Json to_json(const std::vector<T>& values) {
  Json out = Json::array();
  for (const auto& value : values) out.push_back(to_json(value));
  return out;
}
template <HasFields T>
Json to_json(const T& config) {
  Json out = Json::object();
  T::visit_fields(config, [&](const char* name, const auto& value, About) { out[name] = to_json(value); });
  return out;
}

}  // namespace evenkeel
