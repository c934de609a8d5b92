#include "core/table.h"

#include "core/errors.h"

namespace evenkeel {

size_t Table::column(const std::string& name) const {
  for (size_t i = 0; i < columns.size(); ++i)
    if (columns[i].name == name) return i;
  fail<DataError>("table: got no column '", name, "'; need it");
}

void Table::add_row(std::vector<Json> row) {
  if (row.size() != columns.size()) throw std::logic_error("table row does not fit its columns");
  rows.push_back(std::move(row));
}

Json to_json(const Table& table) {
  Json out = Json::object();
  Json columns = Json::array();
  for (const auto& column : table.columns)
    columns.push_back(Json::Object{{"name", Json(column.name)}, {"unit", Json(column.unit)}});
  Json rows = Json::array();
  for (const auto& row : table.rows) rows.push_back(Json(row));
  out["columns"] = std::move(columns);
  out["rows"] = std::move(rows);
  out["chance"] = table.chance ? Json(*table.chance) : Json();
  out["tokens"] = table.tokens ? Json(*table.tokens) : Json();
  out["source"] = table.source;
  return out;
}

Table table_from_json(const Json& json) {
  Table out;
  for (const auto& column : json.at("columns").as_array())
    out.columns.push_back({column.at("name").as_string(), column.at("unit").as_string()});
  for (const auto& row : json.at("rows").as_array()) {
    require<DataError>(row.size() == out.columns.size(), "table: got a row of ", row.size(), " values; need ",
                       out.columns.size());
    out.rows.push_back(row.as_array());
  }
  if (!json.at("chance").is_null()) out.chance = json.at("chance").as_double();
  if (!json.at("tokens").is_null()) out.tokens = json.at("tokens").as_int();
  out.source = json.at("source").as_string();
  return out;
}

namespace {
std::string csv_cell(const Json& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return value.dump();
  const std::string& text = value.as_string();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}
}  // namespace

std::string to_csv(const Table& table) {
  std::string out;
  const auto add_line = [&](const std::vector<Json>& cells) {
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i > 0) out += ',';
      out += csv_cell(cells[i]);
    }
    out += "\r\n";
  };
  std::vector<Json> names;
  for (const auto& column : table.columns)
    names.emplace_back(column.unit.empty() ? column.name : column.name + " [" + column.unit + "]");
  add_line(names);
  for (const auto& row : table.rows) add_line(row);
  return out;
}

}  // namespace evenkeel
