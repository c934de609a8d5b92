#include "study/check_study.h"

#include "core/errors.h"
#include "core/json_lines.h"
#include "core/version.h"
#include "study/comparison.h"
#include "study/speed.h"
#include "study/tables.h"
#include "train/common_results.h"

namespace evenkeel::study {
namespace {

std::vector<train::Arm> arms_of(const Json& results, const std::filesystem::path& study) {
  std::vector<train::Arm> out;
  for (const auto& entry : results.at("arms").as_array())
    out.push_back(train::read_arm(entry.at("name").as_string(), entry.at("group").as_string(),
                                  study / entry.at("run").as_string()));
  return out;
}

// Of the keys that `needed` has: results have some of how the arms ran too.
Json keys_of(const Json& entry, const Json& needed) {
  Json out = Json::object();
  for (const auto& [key, value] : entry.as_object())
    if (needed.find(key) != nullptr) out[key] = value;
  return out;
}

// What the arms and speeds give of a results.json.
Json needed_of(const Json& results, const std::vector<train::Arm>& arms, const Speeds& speeds) {
  const auto tables = study_tables(arms, speeds);
  Json entries = Json::array();
  for (size_t i = 0; i < arms.size(); ++i)
    entries.push_back(train::arm_json(arms[i], results.at("arms").at(i).at("run").as_string()));
  const Json out = Json::Object{{"arms", std::move(entries)},
                                {"definitions", train::definitions_json()},
                                {"headlines", Json(headlines_and_notes(arms, tables, speeds))},
                                {"comparison", comparison_json(arms)},
                                {"tables", train::tables_json(tables)}};
  return Json::parse(out.dump(), "results");
}

std::optional<std::string> difference_of(const Json& results, const Json& needed) {
  Json got = keys_of(results, needed);
  got["tables"] = keys_of(results.at("tables"), needed.at("tables"));
  for (size_t i = 0; i < needed.at("arms").size(); ++i) {
    Json& entry = got["arms"].as_array()[i];
    entry = keys_of(entry, needed.at("arms").at(i));
  }
  return train::results_difference(got, needed, is_of_this_version(results));
}

}  // namespace

void check_study_results(const std::filesystem::path& study) {
  const auto path = study / "results.json";
  const Json results = read_json(path);
  const Speeds speeds = read_speeds(study / "speed.json");
  const auto difference = with_path(
      path, results, [&] { return difference_of(results, needed_of(results, arms_of(results, study), speeds)); });
  require<DataError>(
      !difference, path.string(), ": ", difference.value_or(""),
      ", which speed.json and the files of the arms give (without results.json, the study's command makes it anew)");
}

}  // namespace evenkeel::study
