#include "report/page.h"

#include <algorithm>
#include <map>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json.h"
#include "report/embedded.h"

namespace evenkeel::report {
namespace {

constexpr int64_t kMaxLoadSteps = 240;  // steps of an arm that keep their loads: the heat map's slider

Json read_json(const fs::path& path) { return Json::parse(read_file(path), path.string()); }

// The lines of metrics.jsonl, apart by kind, with the loads thinned.
Json run_json(const fs::path& run) {
  Json out = Json::object();
  Json steps = Json::array(), evals = Json::array(), saturation = Json::array();
  const fs::path path = run / "metrics.jsonl";
  const std::string text = read_file(path);
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    Json line = Json::parse(std::string_view(text).substr(begin, end - begin), path.string() + ", line " + std::to_string(++number));
    begin = end + 1;
    if (line.find("eval") != nullptr) {
      evals.push_back(std::move(line));
    } else if (line.find("saturation") != nullptr) {
      saturation.push_back(std::move(line));
    } else {
      steps.push_back(std::move(line));
    }
  }
  const int64_t stride = (static_cast<int64_t>(steps.size()) + kMaxLoadSteps - 1) / kMaxLoadSteps;
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool is_kept = stride <= 1 || static_cast<int64_t>(i) % stride == 0 || i + 1 == steps.size();
    Json* routing = steps.as_array()[i].find("routing");
    if (is_kept || routing == nullptr) continue;
    for (auto& layer : routing->as_array())
      std::erase_if(layer.as_object(), [](const auto& entry) { return entry.first == "load"; });
  }
  out["resolved"] = read_json(run / "resolved.json");
  out["steps"] = std::move(steps);
  out["evals"] = std::move(evals);
  out["saturation"] = std::move(saturation);
  out["recipe"] = fs::exists(run / "recipe.toml") ? Json(read_file(run / "recipe.toml")) : Json();
  return out;
}

// On a page of several studies, "granular-pb" of runs/demo becomes "demo/granular-pb". A run's only arm has its folder's
// name already.
void put_before_arms(Json& results, const fs::path& folder) {
  if (results.at("kind").as_string() != "study") return;
  const std::string prefix = fs::absolute(folder).lexically_normal().filename().string() + "/";
  for (auto& arm : results["arms"].as_array())
    for (const char* key : {"name", "group"})
      if (Json* name = arm.find(key)) *name = prefix + name->as_string();
  for (auto& [table_name, table] : results["tables"].as_object()) {
    const auto& columns = table.at("columns").as_array();
    for (size_t i = 0; i < columns.size(); ++i) {
      const std::string& column = columns[i].at("name").as_string();
      if (column != "arm" && column != "group") continue;
      for (auto& row : table["rows"].as_array()) row.as_array().at(i) = prefix + row.as_array().at(i).as_string();
    }
  }
}

// Appends the rows and arms of `more` to `results`.
void merge_results(Json& results, const Json& more) {
  for (const auto& arm : more.at("arms").as_array()) results["arms"].push_back(arm);
  for (const auto& headline : more.at("headlines").as_array()) results["headlines"].push_back(headline);
  for (const auto& [name, table] : more.at("tables").as_object()) {
    Json* mine = results["tables"].find(name);
    if (mine == nullptr) {
      results["tables"][name] = table;
      continue;
    }
    for (const auto& row : table.at("rows").as_array()) (*mine)["rows"].push_back(row);
  }
}

constexpr int64_t kMaxPairRows = 300000;  // counts of expert pairs that a page carries; beyond, its heat maps show the largest alone

// The columns of a CSV file of numbers; null when there is no such file or it is too long for a page.
Json number_columns(const fs::path& path) {
  if (!fs::exists(path)) return {};
  const std::string text = read_file(path);
  if (std::count(text.begin(), text.end(), '\n') > kMaxPairRows) return {};
  std::vector<std::string> names;
  std::vector<Json::Array> columns;
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    std::vector<std::string> fields;
    for (size_t at = 0; at <= line.size();) {
      const size_t comma = std::min(line.find(',', at), line.size());
      fields.push_back(line.substr(at, comma - at));
      at = comma + 1;
    }
    if (names.empty()) {
      names = fields;
      columns.resize(names.size());
      continue;
    }
    require<DataError>(fields.size() == names.size(), path.string(), ", line ", number + 1, ": got ", fields.size(), " fields; need ", names.size());
    for (size_t i = 0; i < fields.size(); ++i) columns[i].push_back(Json::parse(fields[i], path.string() + ", line " + std::to_string(number + 1)));
  }
  Json out = Json::object();
  for (size_t i = 0; i < names.size(); ++i) out[names[i]] = Json(std::move(columns[i]));
  return out;
}

// Adds what `evenkeel analyze` wrote to `folder`.
void add_analysis(Json& data, const fs::path& folder, Json results, bool is_one_of_several) {
  Json analysis = Json::object();
  const std::string name = fs::absolute(folder).lexically_normal().filename().string();
  analysis["name"] = is_one_of_several ? name : results.at("title").as_string();
  for (const auto& other : data["analyses"].as_array())
    require<DataError>(other.at("name") != analysis.at("name"), folder.string(), ": got a second analysis named '", name, "'; need folders with distinct names");
  analysis["pairs"] = number_columns(folder / "csv" / "coactivation_all.csv");
  analysis["results"] = std::move(results);
  data["analyses"].push_back(std::move(analysis));
}

// What stands at the head of a page that has analyses alone; their tables stay with each.
Json analyses_head(const Json& analyses) {
  Json out = Json::object();
  const Json& first = analyses.at(0).at("results");
  out["kind"] = "analysis";
  out["title"] = analyses.size() == 1 ? first.at("title") : Json("Routing of " + std::to_string(analyses.size()) + " models");
  out["headlines"] = Json::array();
  for (const auto& analysis : analyses.as_array())
    for (const auto& headline : analysis.at("results").at("headlines").as_array())
      out["headlines"].push_back(analyses.size() == 1 ? headline : Json(analysis.at("name").as_string() + ": " + headline.as_string()));
  const Json* definitions = first.find("definitions");
  out["definitions"] = definitions != nullptr ? *definitions : Json::object();
  return out;
}

Json page_data(const std::vector<fs::path>& folders) {
  require<ConfigError>(!folders.empty(), "report: got no folder; need at least one run or study");
  Json data = Json::object(), results, runs = Json::object();
  data["analyses"] = Json::array();
  for (const auto& folder : folders) {
    require<DataError>(fs::is_directory(folder), folder.string(), ": got no such folder; need a run or a study");
    require<DataError>(fs::exists(folder / "results.json"), folder.string(), ": got a folder without results.json; need a finished run or study");
    const fs::path path = folder / "results.json";
    Json more = read_json(path);
    const Json* kind = more.find("kind");
    const bool is_analysis = kind != nullptr && *kind == Json("analysis");
    for (const char* key : {"schema", "kind", "title", "arms", "headlines", "tables"})
      require<DataError>(more.find(key) != nullptr || (is_analysis && key == std::string_view("arms")), path.string(), ": got no '", key, "'; need the results.json of a run, a study or an analysis");
    if (is_analysis) {
      add_analysis(data, folder, std::move(more), folders.size() > 1);
      continue;
    }
    if (folders.size() > 1) put_before_arms(more, folder);
    for (const auto& arm : more.at("arms").as_array()) {
      const std::string& name = arm.at("name").as_string();
      require<DataError>(runs.find(name) == nullptr, folder.string(), ": got a second arm named '", name, "'; need folders with distinct names");
      runs[name] = run_json((folder / arm.at("run").as_string()).lexically_normal());
    }
    if (results.is_null()) {
      results = std::move(more);
    } else {
      merge_results(results, more);
    }
  }
  if (results.is_null()) results = analyses_head(data.at("analyses"));
  data["title"] = results.at("title");
  const bool is_several = runs.size() > 1 && folders.size() > 1;
  data["kind"] = is_several ? Json("study") : results.at("kind");
  data["results"] = std::move(results);
  data["runs"] = std::move(runs);
  return data;
}

// One pass over the template: what is put in may look like a placeholder itself.
std::string fill_template(std::string_view page, const std::map<std::string_view, std::string_view>& values) {
  std::string out;
  while (!page.empty()) {
    size_t next = std::string_view::npos;
    std::string_view key;
    for (const auto& [name, value] : values) {
      const size_t found = page.find(name);
      if (found < next) {
        next = found;
        key = name;
      }
    }
    if (next == std::string_view::npos) break;
    out += page.substr(0, next);
    out += values.at(key);
    page.remove_prefix(next + key.size());
  }
  return out += page;
}

}  // namespace

std::string make_page(const std::vector<fs::path>& folders) {
  std::string data;
  for (const char c : page_data(folders).dump()) {
    if (c == '<') {
      data += "\\u003c";  // nothing in the data can end the script element
    } else {
      data += c;
    }
  }
  return fill_template(report_html(), {{"/*{{CSS}}*/", report_css()}, {"/*{{PLOTLY}}*/", plotly_js()}, {"/*{{JS}}*/", report_js()}, {"{{DATA}}", data}});
}

void write_page(const std::vector<fs::path>& folders, const fs::path& out) { write_file_atomically(out, make_page(folders)); }

}  // namespace evenkeel::report
