// Enums of a recipe: a list of names and values reads them, writes them and says what there is.
#pragma once

#include <span>
#include <stdexcept>
#include <string>

#include "core/config_tree.h"

namespace evenkeel {

template <class T>
struct Named {
  const char* name;
  T value;
};

// ConfigError with the names that there are.
template <class T>
T read_named(const ConfigNode& node, const std::string& path, std::span<const Named<T>> names) {
  std::string text, known;
  read_value(node, path, text);
  for (const auto& [name, value] : names) {
    if (text == name) return value;
    add_to_list(known, name);
  }
  fail<ConfigError>(node.where, ": got ", path, " = '", text, "'; need one of: ", known);
}

template <class T>
const char* name_of(T value, std::span<const Named<T>> names) {
  for (const auto& entry : names)
    if (entry.value == value) return entry.name;
  throw std::logic_error("a value without a name");
}

}  // namespace evenkeel
