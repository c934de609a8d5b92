// The keys of a recipe as a list, made from the fields that read them (core/config_tree.h): `evenkeel keys` and
// docs/recipe.md.
#pragma once

#include <string>
#include <vector>

#include "core/config_tree.h"

namespace evenkeel {

struct ConfigKey {
  std::string key = {};  // phase.NAME.data.NAME.weight: NAME is the `name` of a table of a list, as --set addresses it
  std::string type = {};
  std::string unit = {};          // empty where it has none
  Json default_value = {};        // what holds without the key; null where default_text says it
  std::string default_text = {};  // in words; empty where default_value says it
  bool is_required = false;       // there is no default
  std::string meaning = {};
  std::vector<std::string> kinds =
      {};  // that read it: of router, loss, optimizer or schedule; empty: no kind is asked for
  bool is_of_all_kinds = false;
  bool operator==(const ConfigKey&) const = default;
};

// ---- names of types; a type of its own brings its overload, as it brings its read_value ----
inline std::string type_of(bool) { return "boolean"; }
inline std::string type_of(int64_t) { return "whole number"; }
inline std::string type_of(double) { return "number"; }
inline std::string type_of(const std::string&) { return "string"; }
inline std::string type_of(const Duration&) { return "duration"; }
inline std::string type_of(const ConfigNode&) { return "table"; }
template <HasNames T>
std::string type_of(T) {
  return "string";
}
template <HasFields T>
std::string type_of(const T&) {
  return "table";
}
template <class T>
std::string type_of(const std::optional<T>&) {
  return type_of(T{});
}
template <class T>
std::string type_of(const std::vector<T>&) {
  return "list of " + type_of(T{}) + "s";
}

// ---- keys within a value; a table without fields of its own brings its overload ----
template <HasFields T>
void list_keys(const T& config, const std::string& path, std::vector<ConfigKey>& out);
template <class T>
void list_keys(const T&, const std::string&, std::vector<ConfigKey>&) {}
template <HasFields T>
void list_keys(const std::optional<T>&, const std::string& path, std::vector<ConfigKey>& out) {
  list_keys(T{}, path, out);
}
template <HasFields T>
void list_keys(const std::vector<T>&, const std::string& path, std::vector<ConfigKey>& out) {
  bool has_name = false;
  T item;
  T::visit_fields(item,
                  [&](const char* name, auto&, About) { has_name = has_name || std::string_view(name) == "name"; });
  list_keys(item, path + (has_name ? ".NAME" : "[]"), out);
}

template <class T>
ConfigKey key_of(const std::string& key, const T& value, const About& about) {
  ConfigKey out{.key = key, .type = type_of(value), .unit = about.unit, .meaning = about.meaning};
  out.is_required = about.absent != nullptr && std::string_view(about.absent) == kRequired;
  if (about.absent == nullptr) out.default_value = to_json(value);
  if (about.absent != nullptr && !out.is_required) out.default_text = about.absent;
  return out;
}

template <HasFields T>
void list_keys(const T& config, const std::string& path, std::vector<ConfigKey>& out) {
  T::visit_fields(config, [&](const char* name, const auto& value, About about) {
    out.push_back(key_of(join_path(path, name), value, about));
    list_keys(value, join_path(path, name), out);
  });
}

// Adds the keys of one more kind: those that are there already, alike but for their kinds, are of this kind too.
void add_keys_of_kind(std::vector<ConfigKey>& all, std::vector<ConfigKey> keys, const std::string& kind);
// Once all kinds are in: names them in the meaning of `chooser`, the key that says which, and marks the keys that all
// of them read.
void name_kinds(std::vector<ConfigKey>& all, const std::string& chooser);
// Puts `keys` after the entry of `key`. std::logic_error without one.
void insert_keys(std::vector<ConfigKey>& all, const std::string& key, const std::vector<ConfigKey>& keys);

// Those whose key, or whose kind, fits: `*` stands for any characters, and a pattern with it may begin at any dot of
// the key; without one, a part of a key or a whole kind is enough. NAME may be left out (phase.tokens) or be a name
// (phase.en.tokens). Where no key fits, words of a meaning do. ConfigError else.
std::vector<ConfigKey> matching_keys(const std::vector<ConfigKey>& all, const std::string& pattern);

// For a reader.
std::string shown_default(const ConfigKey& key);  // "0.01", "required", "as model.top_k", "none"
std::string shown_kinds(const ConfigKey& key);    // "all", "sinkhorn, top_k"
Json to_json(const ConfigKey& key);

}  // namespace evenkeel
