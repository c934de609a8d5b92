// A table of results: columns with units, rows of values, and what a reader must know to trust it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/json.h"

namespace evenkeel {

struct Column {
  std::string name;
  std::string unit;  // "" when it has none
};

struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<Json>> rows;
  std::optional<double> chance;   // what uniform random routing gives
  std::optional<int64_t> tokens;  // tokens that the figures rest on
  std::string source;             // paper and equation

  size_t column(const std::string& name) const;  // throws DataError when absent
  void add_row(std::vector<Json> row);           // throws std::logic_error on a wrong width
};

Json to_json(const Table& table);
Table table_from_json(const Json& json);  // DataError when it is no table
std::string to_csv(const Table& table);   // RFC 4180, full digits

}  // namespace evenkeel
