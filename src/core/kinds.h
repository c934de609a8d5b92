// A list of kinds that a table of a recipe chooses from by its key `kind`: routers, kinds of attention. A kind is one
// file that gives a factory, and one line in its list. Legend: T what is made, Place what it is made for.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/config_keys.h"

namespace evenkeel {

template <class T, class Place>
struct KindFactory {
  std::function<std::unique_ptr<T>(const Place& place, const ConfigNode& config)> make;
  std::function<std::vector<ConfigKey>(const std::string& path)> keys;  // that it reads, `kind` among them
};

template <class T, class Place>
struct Kind {
  const char* name;
  const char* help;
  KindFactory<T, Place> factory;
};

// Where a list is chosen from: the path of the table, and the kind of a table that names none.
struct KindTable {
  const char* path;
  const char* default_kind;
};

// From a function that makes a kind of its options: they are read, with unknown keys refused, and listed, by their
// type. `config`, the table, is for places in messages and for what was given at all; it may be empty.
template <class T, class Place, HasFields Options>
KindFactory<T, Place> kind_factory(const KindTable& table,
                                   std::unique_ptr<T> (*make)(const Place& place, Options options,
                                                              const ConfigNode& config)) {
  KindFactory<T, Place> out;
  out.make = [table, make](const Place& place, const ConfigNode& config) {
    WithKind<Options> options;
    read_value(config.is_table() ? config : config_table("defaults"), table.path, options);
    return make(place, std::move(options.options), config);
  };
  out.keys = [table](const std::string& path) {
    WithKind<Options> options;
    options.kind = table.default_kind;
    std::vector<ConfigKey> keys;
    list_keys(options, path, keys);
    return keys;
  };
  return out;
}

// The kind that `config`, the table, names. ConfigError with the choices where there is none of that name.
template <class T, class Place>
const Kind<T, Place>& chosen_kind(const std::vector<Kind<T, Place>>& kinds, const KindTable& table,
                                  const ConfigNode& config) {
  std::string name = table.default_kind, known;
  const ConfigNode* node = config.find("kind");
  const std::string path = join_path(table.path, "kind");
  if (node != nullptr) read_value(*node, path, name);
  for (const auto& kind : kinds) {
    if (name == kind.name) return kind;
    add_to_list(known, kind.name);
  }
  fail<ConfigError>(got_at(node->where, path), "'", name, "'; need one of: ", known);
}

// The keys of all kinds.
template <class T, class Place>
std::vector<ConfigKey> keys_of_kinds(const std::vector<Kind<T, Place>>& kinds, const std::string& path) {
  std::vector<ConfigKey> out;
  for (const auto& kind : kinds) add_keys_of_kind(out, kind.factory.keys(path), kind.name);
  name_kinds(out, join_path(path, "kind"));
  return out;
}

}  // namespace evenkeel
