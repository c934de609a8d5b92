#include "core/json_difference.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace evenkeel {

bool is_near(double got, double needed) {
  return std::abs(got - needed) <= kRounding * std::max(1.0, std::abs(needed));
}

namespace {

// A value as JSON, cut where it is long.
std::string shown(const Json& value) {
  constexpr size_t kMostBytes = 120;
  std::string text = value.dump();
  if (text.size() <= kMostBytes) return text;
  size_t end = kMostBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // between characters
  return text.substr(0, end) + "…";
}

std::string below(const std::string& path, const std::string& key) { return path.empty() ? key : path + "." + key; }

std::optional<std::string> difference_of_objects(const Json& got, const Json& needed, const std::string& path) {
  for (const auto& [key, value] : needed.as_object()) {
    const Json* found = got.find(key);
    if (found == nullptr) return join_parts(below(path, key), ": got nothing; need ", shown(value));
    if (auto difference = first_difference(*found, value, below(path, key))) return difference;
  }
  for (const auto& [key, value] : got.as_object())
    if (needed.find(key) == nullptr) return join_parts(below(path, key), ": got ", shown(value), "; need no such key");
  return std::nullopt;
}

std::optional<std::string> difference_of_arrays(const Json& got, const Json& needed, const std::string& path) {
  for (size_t i = 0; i < std::min(got.size(), needed.size()); ++i)
    if (auto difference = first_difference(got.at(i), needed.at(i), path + "[" + std::to_string(i) + "]"))
      return difference;
  if (got.size() == needed.size()) return std::nullopt;
  return join_parts(path, ": got an array of ", got.size(), "; need one of ", needed.size());
}

// Two counts are the same or not; where a fraction is among two numbers, each may be rounded otherwise.
bool is_rounded_otherwise(const Json& got, const Json& needed) {
  if (!got.is_number() || !needed.is_number() || (got.is_integer() && needed.is_integer())) return false;
  return is_near(got.as_double(), needed.as_double());
}

}  // namespace

std::optional<std::string> first_difference(const Json& got, const Json& needed, const std::string& path) {
  if (got.is_object() && needed.is_object()) return difference_of_objects(got, needed, path);
  if (got.is_array() && needed.is_array()) return difference_of_arrays(got, needed, path);
  if (got == needed || is_rounded_otherwise(got, needed)) return std::nullopt;
  return join_parts(path, ": got ", shown(got), "; need ", shown(needed));
}

}  // namespace evenkeel
