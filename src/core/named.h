// Enums with names. One has a list of them beside it, `std::span<const Named<T>> names_of(T)`: by that it is read,
// written and explained.
#pragma once

#include <concepts>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "core/errors.h"

namespace evenkeel {

template <class T>
struct Named {
  const char* name;
  T value;
};
template <class T>
concept HasNames = std::is_enum_v<T> && requires(T value) {
  { names_of(value) } -> std::convertible_to<std::span<const Named<T>>>;
};
template <HasNames T>
const char* name_of(T value) {
  for (const auto& [name, named] : names_of(value))
    if (named == value) return name;
  throw std::logic_error("a value without a name");
}

// The value of a name; none where no value has it.
template <HasNames T>
std::optional<T> value_named(std::string_view text) {
  for (const auto& [name, value] : names_of(T{}))
    if (text == name) return value;
  return std::nullopt;
}
// "red, blue"
template <HasNames T>
std::string list_of_names() {
  std::string out;
  for (const auto& [name, value] : names_of(T{})) add_to_list(out, name);
  return out;
}

}  // namespace evenkeel
