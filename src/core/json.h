// A JSON value. Objects keep the order of insertion; numbers are int64 or double; doubles are written with
// the fewest digits that read back to the same bits. NaN and infinities are written as null.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace evenkeel {

// Keys that stand twice in one object: in what evenkeel writes they are damage; in what others write `find` takes the
// first.
enum class RepeatedKeys { refused, kept };

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  Json(int value) : value_(int64_t{value}) {}
  Json(int64_t value) : value_(value) {}
  Json(double value) : value_(value) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(std::move(value)) {}
  template <class T>
  Json(const std::vector<T>& values) : value_(Array(values.begin(), values.end())) {}

  static Json object() { return Json(Object{}); }
  static Json array() { return Json(Array{}); }

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const { return std::holds_alternative<int64_t>(value_); }
  bool is_number() const { return is_integer() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }
  const char* kind() const;  // "null", "boolean", "integer", "number", "string", "array", "object"

  // Each throws DataError naming the kind that was found and the one that was wanted.
  bool as_bool() const;
  int64_t as_int() const;
  double as_double() const;  // integers too
  const std::string& as_string() const;
  const Array& as_array() const;
  Array& as_array();
  const Object& as_object() const;
  Object& as_object();

  size_t size() const;                           // of an array or object
  const Json* find(std::string_view key) const;  // nullptr when absent or when this is no object
  Json* find(std::string_view key);
  const Json& at(std::string_view key) const;  // DataError when absent
  const Json& at(size_t index) const;
  Json& operator[](std::string_view key);  // inserts null; makes a null value an object
  void push_back(Json value);              // makes a null value an array
  void erase(std::string_view key);        // nothing when absent or when this is no object

  bool operator==(const Json& other) const = default;

  // Throws DataError "WHERE: ..., byte N". Nesting deeper than 200 is an error, and so is whatever stands after the
  // value.
  static Json parse(std::string_view text, std::string_view where, RepeatedKeys repeated = RepeatedKeys::refused);
  // indent < 0: one line.
  std::string dump(int indent = -1) const;

 private:
  void write(std::string& out, int indent, int depth) const;
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

// What a JSON text says, piece by piece: for documents that are too long to be built as a Json. A handler
// stops the reading by throwing.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual void open_object() = 0;
  virtual void close_object() = 0;
  virtual void open_array() = 0;
  virtual void close_array() = 0;
  virtual void key(std::string&& name) = 0;
  virtual void value(Json&& plain) = 0;  // null, a boolean, a number or a string
};
// Errors as Json::parse. Memory does not grow with the length of the text.
void read_json_events(std::istream& text, std::string_view where, JsonEvents& events);
void read_json_events(std::string_view text, std::string_view where, JsonEvents& events);

std::string format_double(double value);  // the fewest digits that read back to the same bits

}  // namespace evenkeel
