#include "core/json_error.h"

#include <optional>

namespace evenkeel {
namespace {

// The keys that lead to a value: "" where it is the document itself; none where it is not in there.
std::optional<std::string> keys_to(const Json* value, const Json& document) {
  if (value == &document) return "";
  const auto with = [&](const std::string& key, const Json& child) -> std::optional<std::string> {
    const auto rest = keys_to(value, child);
    if (!rest) return std::nullopt;
    return key + (rest->empty() || rest->starts_with('[') ? "" : ".") + *rest;
  };
  if (document.is_object()) {
    for (const auto& [key, child] : document.as_object())
      if (auto found = with(key, child)) return found;
  } else if (document.is_array()) {
    for (size_t i = 0; i < document.size(); ++i)
      if (auto found = with("[" + std::to_string(i) + "]", document.at(i))) return found;
  }
  return std::nullopt;
}

}  // namespace

DataError error_in(const std::string& path, const Json& document, const JsonError& error) {
  const std::string text = std::string(error.what()).substr(std::string_view("JSON: ").size());
  const auto keys = keys_to(error.value(), document);
  return DataError(path + ": " + (keys && !keys->empty() ? *keys + ": " : "") + text);
}

}  // namespace evenkeel
