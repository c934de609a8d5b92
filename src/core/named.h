// Enums with names. One has a list of them beside it, `std::span<const Named<T>> names_of(T)`: by that it is read, written and explained.
#pragma once

#include <concepts>
#include <span>
#include <stdexcept>
#include <type_traits>

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

}  // namespace evenkeel
