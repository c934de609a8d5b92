#include "study/check_study.h"

#include <set>

#include "core/errors.h"
#include "core/json_difference.h"
#include "core/json_lines.h"
#include "study/tables.h"

namespace evenkeel::study {
namespace {

// Tables with measured speeds in them.
const std::set<std::string> kWithSpeeds = {"throughput", "throughput_summary"};

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

std::optional<std::string> difference_of(const Json& results, const std::vector<train::Arm>& arms) {
  for (size_t i = 0; i < arms.size(); ++i) {
    const Json& entry = results.at("arms").at(i);
    const Json needed = Json::parse(train::arm_json(arms[i], entry.at("run").as_string()).dump(), "results");
    if (auto difference = first_difference(keys_of(entry, needed), needed, "arms[" + std::to_string(i) + "]"))
      return difference;
  }
  const Json needed = Json::parse(train::tables_json(study_tables(arms, {})).dump(), "results");
  for (const auto& [name, table] : needed.as_object()) {
    if (kWithSpeeds.contains(name)) continue;
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
  const auto difference = with_path(path, [&] { return difference_of(results, arms_of(results, study)); });
  require<DataError>(!difference, path.string(), ": ", difference.value_or(""),
                     ", which the files of the arms give (without results.json, the study's command makes it anew)");
}

}  // namespace evenkeel::study
