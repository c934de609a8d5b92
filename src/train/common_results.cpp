#include "train/common_results.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/json_difference.h"

namespace evenkeel::train {
namespace {

using Both = std::pair<Json, Json>;

bool is_table(const Json& json) {
  const Json *columns = json.find("columns"), *rows = json.find("rows");
  return columns != nullptr && columns->is_array() && rows != nullptr && rows->is_array();
}

bool is_text(std::string_view key) {
  constexpr std::string_view kTexts[] = {"headlines", "definitions", "source", "what"};
  return std::find(std::begin(kTexts), std::end(kTexts), key) != std::end(kTexts);
}

std::vector<std::string> column_names(const Json& table) {
  std::vector<std::string> out;
  for (const auto& column : table.at("columns").as_array()) out.push_back(column.at("name").as_string());
  return out;
}

// The rows with the columns of these names alone.
Json with_columns(const Json& table, const std::vector<std::string>& kept) {
  const auto names = column_names(table);
  Json rows = Json::array();
  for (const auto& row : table.at("rows").as_array()) {
    Json cells = Json::array();
    for (const auto& name : kept)
      cells.push_back(row.at(static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin())));
    rows.push_back(std::move(cells));
  }
  return Json::Object{{"columns", kept}, {"rows", std::move(rows)}};
}

Both common_tables(const Json& got, const Json& needed) {
  const auto there = column_names(got);
  std::vector<std::string> kept;
  for (const auto& name : column_names(needed))
    if (!is_text(name) && std::find(there.begin(), there.end(), name) != there.end()) kept.push_back(name);
  return {with_columns(got, kept), with_columns(needed, kept)};
}

}  // namespace

Both common_results(const Json& got, const Json& needed) {
  if (is_table(got) && is_table(needed)) return common_tables(got, needed);
  if (got.is_object() && needed.is_object()) {
    Both out = {Json::object(), Json::object()};
    for (const auto& [key, value] : needed.as_object())
      if (const Json* found = is_text(key) ? nullptr : got.find(key))
        std::tie(out.first[key], out.second[key]) = common_results(*found, value);
    return out;
  }
  if (got.is_array() && needed.is_array() && got.size() == needed.size()) {
    Both out = {Json::array(), Json::array()};
    for (size_t i = 0; i < got.size(); ++i) {
      auto [left, right] = common_results(got.at(i), needed.at(i));
      out.first.push_back(std::move(left));
      out.second.push_back(std::move(right));
    }
    return out;
  }
  return {got, needed};
}

std::optional<std::string> results_difference(const Json& got, const Json& needed, bool is_of_this_version) {
  if (is_of_this_version) return first_difference(got, needed);
  const auto [found, expected] = common_results(got, needed);
  return first_difference(found, expected);
}

}  // namespace evenkeel::train
