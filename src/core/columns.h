// Structs with named columns: one list says how a line of metrics or a row of a table is written and how it is read
// back.
//
//   struct Point {
//     int64_t step = 0;
//     std::optional<double> loss;
//     static void visit_columns(auto& row, auto&& visit) {
//       visit("step", row.step, "steps");
//       visit("loss", row.loss, "nats/token");
//     }
//   };
//
// A field is a number, a text, an enum with names (core/named.h), a std::optional (null, and not there in what an older
// version wrote), another such struct, a list of fields, or a list of (name, field) pairs, which is an object.
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "core/json.h"
#include "core/named.h"
#include "core/table.h"

namespace evenkeel {

// The numbers that a column can have, both ends among them.
struct Range {
  double least = -std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::infinity();
};
inline constexpr Range kNotNegative{.least = 0};
inline constexpr Range kFraction{.least = 0, .most = 1};

// What a list of columns says of one beside its name.
struct AboutColumn {
  const char* unit;
  bool is_left_out;  // of an object, where the field is empty
  Range range;       // of the field's numbers, when it is read
  constexpr AboutColumn(const char* its_unit = "", bool left_out_when_empty = false, Range of_numbers = {})
      : unit(its_unit), is_left_out(left_out_when_empty), range(of_numbers) {}
  constexpr AboutColumn(Range of_numbers) : AboutColumn("", false, of_numbers) {}
};
inline constexpr AboutColumn kLeftOutWhenEmpty{"", true};

template <class T>
concept HasColumns = requires(T& row) {
  T::visit_columns(row, [](const char*, auto&, AboutColumn = {}) {});
};

namespace columns {

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_list = false;
template <class T>
inline constexpr bool is_list<std::vector<T>> = true;
template <class T>
inline constexpr bool is_object = false;
template <class T>
inline constexpr bool is_object<std::vector<std::pair<std::string, T>>> = true;

template <class T>
bool is_empty(const T& field) {
  if constexpr (is_optional<T>) return !field.has_value();
  if constexpr (is_list<T>) return field.empty();
  return false;
}

template <class T>
Json to_value(const T& field) {
  if constexpr (is_optional<T>) {
    return field ? to_value(*field) : Json();
  } else if constexpr (is_object<T>) {
    Json out = Json::object();
    for (const auto& [name, value] : field) out.as_object().emplace_back(name, to_value(value));
    return out;
  } else if constexpr (is_list<T>) {
    Json::Array out;
    out.reserve(field.size());
    for (const auto& value : field) out.push_back(to_value(value));
    return Json(std::move(out));
  } else if constexpr (HasColumns<T>) {
    Json out = Json::object();
    T::visit_columns(field, [&](const char* name, const auto& value, AboutColumn about = {}) {
      if (!about.is_left_out || !is_empty(value)) out.as_object().emplace_back(name, to_value(value));
    });
    return out;
  } else if constexpr (HasNames<T>) {
    return Json(name_of(field));
  } else {
    return Json(field);
  }
}

// `what`: what a message calls the field, as "'routing'" or "an entry of 'routing'".
void read_field(const Json& json, bool& out, const std::string& what, const std::string& where);
void read_field(const Json& json, int64_t& out, const std::string& what, const std::string& where);
void read_field(const Json& json, double& out, const std::string& what, const std::string& where);
void read_field(const Json& json, std::string& out, const std::string& what, const std::string& where);
void require_array(const Json& json, const std::string& what, const std::string& where);
void require_object(const Json& json, const std::string& what, const std::string& where);
[[noreturn]] void fail_range(const Json& number, Range range, const std::string& what, const std::string& where);

// The numbers of a field: itself, or those of the optional, the list or the object that it is.
template <class T>
void require_range(const T& field, Range range, const std::string& what, const std::string& where) {
  if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, double>) {
    const auto number = static_cast<double>(field);
    if (!(number >= range.least && number <= range.most)) fail_range(field, range, what, where);
  } else if constexpr (is_optional<T>) {
    if (field) require_range(*field, range, what, where);
  } else if constexpr (is_object<T>) {
    for (const auto& [name, value] : field) require_range(value, range, what + " of '" + name + "'", where);
  } else if constexpr (is_list<T>) {
    for (const auto& value : field) require_range(value, range, what, where);
  }
}

template <HasNames T>
void read_field(const Json& json, T& out, const std::string& what, const std::string& where) {
  std::string text;
  read_field(json, text, what, where);
  const auto value = value_named<T>(text);
  require<DataError>(value.has_value(), where, ": got '", text, "' as ", what, "; need one of: ", list_of_names<T>());
  out = *value;
}
template <class T>
void read_field(const Json& json, std::optional<T>& out, const std::string& what, const std::string& where);
template <class T>
void read_field(const Json& json, std::vector<T>& out, const std::string& what, const std::string& where);
template <HasColumns T>
void read_field(const Json& json, T& out, const std::string& what, const std::string& where) {
  require_object(json, what, where);
  T::visit_columns(out, [&](const char* name, auto& field, AboutColumn about = {}) {
    using Field = std::remove_cvref_t<decltype(field)>;
    const Json* value = json.find(name);
    if (value == nullptr && (is_optional<Field> || about.is_left_out)) return;
    require<DataError>(value != nullptr, where, ": got no '", name, "'; need it");
    const std::string called = "'" + std::string(name) + "'";
    read_field(*value, field, called, where);
    require_range(field, about.range, called, where);
  });
}
template <class T>
void read_field(const Json& json, std::optional<T>& out, const std::string& what, const std::string& where) {
  out.reset();
  if (!json.is_null()) read_field(json, out.emplace(), what, where);
}
template <class T>
void read_field(const Json& json, std::vector<T>& out, const std::string& what, const std::string& where) {
  out.clear();
  if constexpr (is_object<std::vector<T>>) {
    require_object(json, what, where);
    for (const auto& [name, value] : json.as_object())
      read_field(value, out.emplace_back(name, typename T::second_type{}).second, what + " of '" + name + "'", where);
  } else {
    require_array(json, what, where);
    for (const auto& value : json.as_array()) read_field(value, out.emplace_back(), "an entry of " + what, where);
  }
}

}  // namespace columns

template <HasColumns T>
Json to_json(const T& row) {
  return columns::to_value(row);
}
// DataError "WHERE: got …" for a document that is none.
template <HasColumns T>
T row_from_json(const Json& json, const std::string& where) {
  T out;
  columns::read_field(json, out, "a line", where);
  return out;
}

// A table whose rows are such structs; its fields are numbers, texts, booleans and optionals of them.
template <HasColumns T>
std::vector<Column> columns_of() {
  std::vector<Column> out;
  T row;
  T::visit_columns(row, [&](const char* name, auto&, AboutColumn about = {}) { out.push_back({name, about.unit}); });
  return out;
}
template <HasColumns T>
void add_row(Table& table, const T& row) {
  std::vector<Json> out;
  T::visit_columns(row,
                   [&](const char*, const auto& field, AboutColumn = {}) { out.push_back(columns::to_value(field)); });
  table.add_row(std::move(out));
}
// DataError where a value is of another kind, or a column is missing that is no std::optional.
template <HasColumns T>
std::vector<T> rows_of(const Table& table) {
  std::map<std::string, size_t> index_of;
  for (size_t i = 0; i < table.columns.size(); ++i) index_of.emplace(table.columns[i].name, i);
  std::vector<T> out;
  for (const auto& row : table.rows)
    T::visit_columns(out.emplace_back(), [&](const char* name, auto& field, AboutColumn = {}) {
      const auto found = index_of.find(name);
      if (found == index_of.end() && columns::is_optional<std::remove_cvref_t<decltype(field)>>) return;
      require<DataError>(found != index_of.end(), "table: got no column '", name, "'; need it");
      columns::read_field(row.at(found->second), field, "'" + std::string(name) + "'", "table");
    });
  return out;
}

}  // namespace evenkeel
