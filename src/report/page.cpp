#include "report/page.h"

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

Json page_data(const std::vector<fs::path>& folders) {
  require<ConfigError>(!folders.empty(), "report: got no folder; need at least one run or study");
  Json data = Json::object(), results, runs = Json::object();
  for (const auto& folder : folders) {
    require<DataError>(fs::is_directory(folder), folder.string(), ": got no such folder; need a run or a study");
    require<DataError>(fs::exists(folder / "results.json"), folder.string(), ": got a folder without results.json; need a finished run or study");
    const fs::path path = folder / "results.json";
    Json more = read_json(path);
    for (const char* key : {"schema", "kind", "title", "arms", "headlines", "tables"})
      require<DataError>(more.find(key) != nullptr, path.string(), ": got no '", key, "'; need the results.json of a run or study");
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
  data["title"] = results.at("title");
  data["kind"] = folders.size() > 1 ? Json("study") : results.at("kind");
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
