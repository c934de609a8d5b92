#include "core/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <istream>
#include <iterator>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_builder.h"
#include "core/json_error.h"

namespace evenkeel {
namespace {

constexpr size_t kMaxDepth = 200;

[[noreturn]] void fail_empty(std::string_view where) {
  fail<DataError>(where, ": got an empty text; need a JSON document");
}

// nlohmann's events as ours; the parser itself does not recurse.
class Adapter : public nlohmann::json_sax<nlohmann::json> {
 public:
  Adapter(std::string_view where, JsonEvents& events) : where_(where), events_(events) {}

  bool null() override { return add(Json()); }
  bool boolean(bool value) override { return add(Json(value)); }
  bool number_integer(number_integer_t value) override { return add(Json(int64_t{value})); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<uint64_t>(INT64_MAX)) return add(Json(static_cast<double>(value)));
    return add(Json(static_cast<int64_t>(value)));
  }
  bool number_float(number_float_t value, const string_t&) override { return add(Json(value)); }
  bool string(string_t& value) override { return add(Json(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override {
    deepen();
    events_.open_object();
    return true;
  }
  bool key(string_t& value) override {
    events_.key(std::move(value));
    return true;
  }
  bool end_object() override {
    --depth_;
    events_.close_object();
    return true;
  }
  bool start_array(size_t) override {
    deepen();
    events_.open_array();
    return true;
  }
  bool end_array() override {
    --depth_;
    events_.close_array();
    return true;
  }
  bool parse_error(size_t position, const std::string& last_token, const nlohmann::detail::exception& error) override {
    if (dynamic_cast<const nlohmann::detail::out_of_range*>(&error) != nullptr)
      fail<DataError>(where_, ": got the number ", last_token, " at byte ", position,
                      "; need one that fits a double, below 1.8e308");
    if (!has_begun_ && last_token.empty()) fail_empty(where_);
    // The reader stops at the first letter of what is no literal.
    const bool is_non_finite = last_token.ends_with('N') || last_token.ends_with('I');
    fail<DataError>(where_, ": got text that is not JSON at byte ", position,
                    is_non_finite ? " (JSON has no NaN and no Infinity)" : "", "; need a JSON document");
  }

 private:
  bool add(Json&& value) {
    has_begun_ = true;
    events_.value(std::move(value));
    return true;
  }
  void deepen() {
    has_begun_ = true;
    require<DataError>(depth_++ < kMaxDepth, where_, ": got JSON nested deeper than ", kMaxDepth, "; need less");
  }

  std::string where_;
  JsonEvents& events_;
  size_t depth_ = 0;
  bool has_begun_ = false;  // something other than white space was there
};

void write_string(std::string& out, const std::string& text) {
  // nlohmann escapes and repairs invalid UTF-8 (replacement character).
  out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string format_double(double value) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, result.ptr);
}

const char* Json::kind() const {
  constexpr const char* kNames[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
  return kNames[value_.index()];
}

namespace {
template <class T, class V>
auto& get_as(V& value, const Json& json, const char* wanted) {
  auto* found = std::get_if<T>(&value);
  if (found == nullptr) throw JsonError(join_parts("got ", json.kind(), "; need ", wanted), json);
  return *found;
}
}  // namespace

bool Json::as_bool() const { return get_as<bool>(value_, *this, "boolean"); }
int64_t Json::as_int() const { return get_as<int64_t>(value_, *this, "integer"); }
double Json::as_double() const {
  if (is_integer()) return static_cast<double>(std::get<int64_t>(value_));
  return get_as<double>(value_, *this, "number");
}
const std::string& Json::as_string() const { return get_as<std::string>(value_, *this, "string"); }
const Json::Array& Json::as_array() const { return get_as<Array>(value_, *this, "array"); }
Json::Array& Json::as_array() { return get_as<Array>(value_, *this, "array"); }
const Json::Object& Json::as_object() const { return get_as<Object>(value_, *this, "object"); }
Json::Object& Json::as_object() { return get_as<Object>(value_, *this, "object"); }

size_t Json::size() const { return is_object() ? as_object().size() : as_array().size(); }

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const auto& [name, value] : as_object())
    if (name == key) return &value;
  return nullptr;
}
Json* Json::find(std::string_view key) { return const_cast<Json*>(std::as_const(*this).find(key)); }

const Json& Json::at(std::string_view key) const {
  const Json* found = find(key);
  if (found == nullptr) throw JsonError(join_parts("got no key '", key, "'; need it"), *this);
  return *found;
}
const Json& Json::at(size_t index) const {
  if (index >= size()) throw JsonError(join_parts("got an array of ", size(), "; need more than ", index), *this);
  return as_array()[index];
}
Json& Json::operator[](std::string_view key) {
  if (is_null()) value_ = Object{};
  if (Json* found = find(key)) return *found;
  return as_object().emplace_back(std::string(key), Json()).second;
}
void Json::push_back(Json value) {
  if (is_null()) value_ = Array{};
  as_array().push_back(std::move(value));
}
void Json::erase(std::string_view key) {
  if (is_object()) std::erase_if(as_object(), [&](const auto& entry) { return entry.first == key; });
}

namespace {

// A zero byte is never JSON, but the library takes it for the end of the text.
[[noreturn]] void fail_zero_byte(std::string_view where, size_t position) {
  fail<DataError>(where, ": got a zero byte, which is not JSON, at byte ", position, "; need a JSON document");
}

// The characters of a stream, without a copy; a zero byte among them is an error.
class NonZeroIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  NonZeroIterator() = default;  // the end
  NonZeroIterator(std::istream& text, std::string_view where) : next_(text), where_(where) { check(); }
  char operator*() const { return *next_; }
  NonZeroIterator& operator++() {
    ++next_;
    ++position_;
    check();
    return *this;
  }
  bool operator==(const NonZeroIterator& other) const { return next_ == other.next_; }

 private:
  void check() const {
    if (next_ != std::istreambuf_iterator<char>() && *next_ == '\0') fail_zero_byte(where_, position_);
  }
  std::istreambuf_iterator<char> next_;
  std::string_view where_;
  size_t position_ = 1;  // of the character, from 1 as the library counts
};

}  // namespace

Json Json::parse(std::string_view text, std::string_view where, RepeatedKeys repeated) {
  JsonBuilder builder(where, repeated);
  read_json_events(text, where, builder);
  return builder.take();
}

void read_json_events(std::string_view text, std::string_view where, JsonEvents& events) {
  if (const size_t zero = text.find('\0'); zero != text.npos) fail_zero_byte(where, zero + 1);
  if (text.find_first_not_of(" \t\r\n") == text.npos) fail_empty(where);
  Adapter adapter(where, events);
  nlohmann::json::sax_parse(text.begin(), text.end(), &adapter);
}

void read_json_events(std::istream& text, std::string_view where, JsonEvents& events) {
  Adapter adapter(where, events);
  nlohmann::json::sax_parse(NonZeroIterator(text, where), NonZeroIterator(), &adapter);
}

std::string Json::dump(int indent) const {
  std::string out;
  write(out, indent, 0);
  return out;
}

void Json::write(std::string& out, int indent, int depth) const {
  const auto newline = [&](int level) {
    if (indent < 0) return;
    out += '\n';
    out.append(static_cast<size_t>(indent) * static_cast<size_t>(level), ' ');
  };
  if (is_null()) {
    out += "null";
  } else if (is_bool()) {
    out += as_bool() ? "true" : "false";
  } else if (is_integer()) {
    out += std::to_string(as_int());
  } else if (is_number()) {
    const double number = as_double();
    const bool is_minus_zero = number == 0 && std::signbit(number);  // "-0" would read back as the integer 0
    out += is_minus_zero ? "-0.0" : std::isfinite(number) ? format_double(number) : "null";
  } else if (is_string()) {
    write_string(out, as_string());
  } else if (is_array()) {
    out += '[';
    // Arrays of plain values stay on one line.
    const bool nested = indent >= 0 && !as_array().empty() && (as_array()[0].is_object() || as_array()[0].is_array());
    for (size_t i = 0; i < as_array().size(); ++i) {
      if (i > 0) out += nested || indent < 0 ? "," : ", ";
      if (nested) newline(depth + 1);
      as_array()[i].write(out, nested ? indent : -1, depth + 1);
    }
    if (nested) newline(depth);
    out += ']';
  } else {
    out += '{';
    bool first = true;
    for (const auto& [key, value] : as_object()) {
      if (!first) out += ',';
      first = false;
      newline(depth + 1);
      write_string(out, key);
      out += indent < 0 ? ":" : ": ";
      value.write(out, indent, depth + 1);
    }
    if (!as_object().empty()) newline(depth);
    out += '}';
  }
}

}  // namespace evenkeel
