#include "report/page.h"

#include <algorithm>
#include <map>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json.h"
#include "core/json_lines.h"
#include "core/output.h"
#include "report/columns.h"
#include "report/compress.h"
#include "report/embedded.h"
#include "report/local_paths.h"
#include "report/run_data.h"

namespace evenkeel::report {
namespace {

// The last part of each folder's path; where some are equal, with as many of those before it as tell them apart.
std::vector<std::string> distinct_names(const std::vector<fs::path>& folders) {
  std::vector<fs::path> rests, names;  // what is left of a path, and what is taken
  for (const auto& folder : folders) {
    fs::path path = fs::absolute(folder).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();  // "DIR/"
    names.push_back(path.filename());
    rests.push_back(path.parent_path());
  }
  const auto is_shared = [&](size_t i) { return std::count(names.begin(), names.end(), names[i]) > 1; };
  for (bool has_grown = true; has_grown;) {
    has_grown = false;
    std::vector<fs::path> longer = names;
    for (size_t i = 0; i < names.size(); ++i) {
      if (!is_shared(i) || !rests[i].has_filename()) continue;
      longer[i] = rests[i].filename() / names[i];
      rests[i] = rests[i].parent_path();
      has_grown = true;
    }
    names = std::move(longer);
  }
  for (size_t i = 0; i < names.size(); ++i)
    require<ConfigError>(!is_shared(i), folders[i].string(), ": got this folder twice; need it once");
  return {names.begin(), names.end()};
}

// On a page of several folders the arms are named after theirs: "granular-pb" of the study runs/demo becomes
// "demo/granular-pb"; a run's only arm has its folder's name. A sentence begins with the folder that it is of.
void name_arms_after(Json& results, const std::string& folder) {
  const bool is_study = results.at("kind").as_string() == "study";
  const auto named = [&](const Json& arm) { return is_study ? folder + "/" + arm.as_string() : folder; };
  for (auto& headline : results["headlines"].as_array())
    if (!headline.as_string().starts_with(folder + ": ")) headline = folder + ": " + headline.as_string();
  for (auto& arm : results["arms"].as_array())
    for (const char* key : {"name", "group"})
      if (Json* name = arm.find(key)) *name = named(*name);
  for (auto& [table_name, table] : results["tables"].as_object()) {
    const auto& columns = table.at("columns").as_array();
    for (size_t i = 0; i < columns.size(); ++i) {
      const std::string& column = columns[i].at("name").as_string();
      if (column != "arm" && column != "group" && column != "reference") continue;
      for (auto& row : table["rows"].as_array()) row.as_array().at(i) = named(row.as_array().at(i));
    }
  }
}

// Appends the rows of a table to those of another version of it, by the names of its columns: one that a side lacks is
// null there.
void merge_table(Json& mine, const Json& more) {
  std::vector<std::string> names;
  for (const auto& column : mine.at("columns").as_array()) names.push_back(column.at("name").as_string());
  std::vector<size_t> places;  // of the columns of `more`
  for (const auto& column : more.at("columns").as_array()) {
    const std::string& name = column.at("name").as_string();
    places.push_back(static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin()));
    if (places.back() < names.size()) continue;
    names.push_back(name);
    mine["columns"].push_back(column);
    for (auto& row : mine["rows"].as_array()) row.push_back(Json());
  }
  for (const auto& row : more.at("rows").as_array()) {
    Json::Array merged(names.size());
    for (size_t i = 0; i < places.size(); ++i) merged[places[i]] = row.at(i);
    mine["rows"].push_back(Json(std::move(merged)));
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
    merge_table(*mine, table);
  }
}

// Counts of expert pairs that a page carries. Where there are more, its heat maps show the largest alone.
constexpr int64_t kMaxPairRows = 300000;

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
    require<DataError>(fields.size() == names.size(), path.string(), ", line ", number + 1, ": got ", fields.size(),
                       " fields; need ", names.size());
    for (size_t i = 0; i < fields.size(); ++i)
      columns[i].push_back(Json::parse(fields[i], path.string() + ", line " + std::to_string(number + 1)));
  }
  Json out = Json::object();
  for (size_t i = 0; i < names.size(); ++i) out[names[i]] = Json(std::move(columns[i]));
  return out;
}

// Adds what `evenkeel analyze` wrote to `folder`, under a name.
void add_analysis(Json& data, const fs::path& folder, Json results, const std::string& name) {
  Json analysis = Json::object();
  analysis["name"] = name;
  analysis["pairs"] = number_columns(folder / "csv" / "coactivation_all.csv");
  analysis["changes"] = number_columns(folder / "csv" / "coactivation_change_all.csv");
  analysis["results"] = std::move(results);
  data["analyses"].push_back(std::move(analysis));
}

// What stands at the head of a page that has analyses alone; their tables stay with each.
Json analyses_head(const Json& analyses) {
  Json out = Json::object();
  const Json& first = analyses.at(0).at("results");
  out["kind"] = "analysis";
  out["title"] =
      analyses.size() == 1 ? first.at("title") : Json("Routing of " + std::to_string(analyses.size()) + " models");
  out["headlines"] = Json::array();
  for (const auto& analysis : analyses.as_array())
    for (const auto& headline : analysis.at("results").at("headlines").as_array())
      out["headlines"].push_back(
          analyses.size() == 1 ? headline : Json(analysis.at("name").as_string() + ": " + headline.as_string()));
  const Json* definitions = first.find("definitions");
  out["definitions"] = definitions != nullptr ? *definitions : Json::object();
  return out;
}

// What the rest of this file takes for granted of a results.json.
void require_results(const Json& results, const fs::path& path) {
  const Json* kind = results.find("kind");
  const bool is_analysis = kind != nullptr && *kind == Json("analysis");
  for (const char* key : {"schema", "kind", "title", "arms", "headlines", "tables"})
    require<DataError>(results.find(key) != nullptr || (is_analysis && key == std::string_view("arms")), path.string(),
                       ": got no '", key, "'; need the results.json of a run, a study or an analysis");
  with_path(path, results, [&] {
    for (const char* key : {"kind", "title"}) results.at(key).as_string();
    for (const auto& headline : results.at("headlines").as_array()) headline.as_string();
    for (const auto& [name, table] : results.at("tables").as_object()) {
      const size_t n_columns = table.at("columns").size();
      for (const auto& column : table.at("columns").as_array()) column.at("name").as_string();
      for (const auto& row : table.at("rows").as_array())
        require<DataError>(row.as_array().size() == n_columns, path.string(), ": got a row of ", row.size(),
                           " values in the table ", name, "; need ", n_columns, ", as it has columns");
    }
    if (is_analysis) return;
    for (const auto& arm : results.at("arms").as_array())
      for (const char* key : {"name", "run"}) arm.at(key).as_string();
  });
}

Json page_data(const std::vector<fs::path>& folders) {
  require<ConfigError>(!folders.empty(), "report: got no folder; need at least one run, study or analysis");
  Json data = Json::object(), results, runs = Json::object();
  ColumnPool columns;
  data["analyses"] = Json::array();
  const auto names = distinct_names(folders);
  for (size_t i = 0; i < folders.size(); ++i) {
    const auto& folder = folders[i];
    require<DataError>(fs::is_directory(folder), folder.string(),
                       ": got no such folder; need a run, a study or an analysis");
    require<DataError>(fs::exists(folder / "results.json"), folder.string(),
                       ": got a folder without results.json; need a finished run, study or analysis");
    const fs::path path = folder / "results.json";
    Json more = read_json(path);
    require_results(more, path);
    const bool is_analysis = more.at("kind") == Json("analysis");
    if (is_analysis) {
      const std::string name = folders.size() > 1 ? names[i] : more.at("title").as_string();
      add_analysis(data, folder, std::move(more), name);
      continue;
    }
    if (folders.size() > 1) {
      with_path(path, more, [&] { name_arms_after(more, names[i]); });
      more.erase("comparison");  // it says nothing of the others' arms
    }
    if (Json* recipe = more.find("recipe"); recipe != nullptr && recipe->is_string())
      *recipe = without_folders_in(recipe->as_string());
    const Json* throughput = more.at("tables").find("throughput");
    const RunDataOptions run_options{.has_speed = throughput == nullptr || throughput->at("rows").size() == 0};
    for (const auto& arm : more.at("arms").as_array()) {
      const std::string& name = arm.at("name").as_string();
      require<DataError>(runs.find(name) == nullptr, folder.string(), ": got a second arm named '", name,
                         "'; need folders with distinct names");
      runs[name] = run_data((folder / arm.at("run").as_string()).lexically_normal(), run_options, columns);
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
  if (Json* arms = results.find("arms"))
    for (auto& arm : arms->as_array())
      if (Json* curve = arm.find("lr_curve")) *curve = columns.share(std::move(*curve));
  data["results"] = std::move(results);
  data["runs"] = std::move(runs);
  data["columns"] = columns.pool();
  return data;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

// "50.0 %" and "4.1 ± 0.2" do not break apart at the end of a line; the script's texts have the same (assets/dom.js).
std::string kept_together(std::string text) {
  for (const std::string sign : {" %", " ±", "± "})
    for (size_t at = text.find(sign); at != std::string::npos; at = text.find(sign, at))
      text.replace(at + sign.find(' '), 1, "\u00a0");
  return text;
}

// The answers as plain HTML, for who reads the page without its script; the script replaces them.
std::string summary_html(const Json& data) {
  const Json& results = data.at("results");
  std::string out = "<h1>" + escaped(data.at("title").as_string()) + "</h1>\n<ul>\n";
  for (const auto& headline : results.at("headlines").as_array())
    out += "<li>" + kept_together(escaped(headline.as_string())) + "</li>\n";
  out += "</ul>\n";
  if (const Json* arms = results.find("arms"); arms != nullptr && arms->size() > 0) {
    out += "<p>Arms:";
    for (const auto& arm : arms->as_array()) out += " <code>" + escaped(arm.at("name").as_string()) + "</code>";
    out += "</p>\n";
  }
  return out;
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
  const Json data = page_data(folders);
  const std::string summary = summary_html(data), packed = gzip_base64(data.dump());
  return fill_template(report_html(), {{"/*{{CSS}}*/", report_css()},
                                       {"{{PLOTLY}}", packed_plotly()},
                                       {"/*{{JS}}*/", report_js()},
                                       {"{{DATA}}", packed},
                                       {"{{SUMMARY}}", summary}});
}

void write_page(const std::vector<fs::path>& folders, const fs::path& out) {
  require_own_outputs({{out, OutputKind::page}});
  if (out.has_parent_path()) make_folders(out.parent_path());
  remove_temporaries_of(
      out);  // a page is what a run ends with: one that was killed there is finished, and no step of it runs again
  write_file_atomically(out, make_page(folders));
}

}  // namespace evenkeel::report
