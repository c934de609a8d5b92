#include "study/check_study.h"

#include "core/errors.h"
#include "core/json_difference.h"
#include "core/json_lines.h"
#include "core/version.h"
#include "study/comparison.h"
#include "study/speed.h"
#include "study/tables.h"

namespace evenkeel::study {
namespace {

std::vector<train::Arm> arms_of(const Json& results, const std::filesystem::path& study) {
  std::vector<train::Arm> out;
  for (const auto& entry : results.at("arms").as_array())
    out.push_back(train::read_arm(entry.at("name").as_string(), entry.at("group").as_string(),
                                  study / entry.at("run").as_string()));
  return out;
}

// Of the keys that `needed` has: an entry has some of how the arm ran too.
Json keys_of(const Json& entry, const Json& needed) {
  Json out = Json::object();
  for (const auto& [key, value] : entry.as_object())
    if (needed.find(key) != nullptr) out[key] = value;
  return out;
}

std::optional<std::string> difference_of(const Json& results, const std::vector<train::Arm>& arms,
                                         const Speeds& speeds) {
  for (size_t i = 0; i < arms.size(); ++i) {
    const Json& entry = results.at("arms").at(i);
    const Json needed = Json::parse(train::arm_json(arms[i], entry.at("run").as_string()).dump(), "results");
    if (auto difference = first_difference(keys_of(entry, needed), needed, "arms[" + std::to_string(i) + "]"))
      return difference;
  }
  if (is_of_this_version(results)) {
    const Json needed = Json::parse(train::definitions_json().dump(), "results");
    if (auto difference = first_difference(results.at("definitions"), needed, "definitions")) return difference;
  }
  const auto tables = study_tables(arms, speeds);
  if (auto difference =
          first_difference(results.at("headlines"), Json(headlines_and_notes(arms, tables, speeds)), "headlines"))
    return difference;
  if (auto difference = first_difference(results.at("comparison"), Json::parse(comparison_json(arms).dump(), "results"),
                                         "comparison"))
    return difference;
  const Json needed = Json::parse(train::tables_json(tables).dump(), "results");
  for (const auto& [name, table] : needed.as_object()) {
    const Json* found = results.at("tables").find(name);
    if (auto difference = first_difference(found != nullptr ? *found : Json(), table, "tables." + name))
      return difference;
  }
  return std::nullopt;
}

}  // namespace

void check_study_results(const std::filesystem::path& study) {
  const auto path = study / "results.json";
  const Json results = read_json(path);
  const Speeds speeds = read_speeds(study / "speed.json");
  const auto difference =
      with_path(path, results, [&] { return difference_of(results, arms_of(results, study), speeds); });
  require<DataError>(
      !difference, path.string(), ": ", difference.value_or(""),
      ", which speed.json and the files of the arms give (without results.json, the study's command makes it anew)");
}

}  // namespace evenkeel::study
