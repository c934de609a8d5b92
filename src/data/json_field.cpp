#include "data/json_field.h"

#include <utility>
#include <vector>

#include "core/errors.h"
#include "core/foreign_json.h"
#include "core/json_builder.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

constexpr size_t kOff = std::string_view::npos;        // not on the way to the field
constexpr size_t kField = std::string_view::npos - 1;  // the field itself

// Finds the field while the record is read. A place of the record is told by where the rest of the path begins there.
class FieldReader : public RestartableEvents {
 public:
  explicit FieldReader(const FieldPlace& place) : place_(place), builder_(place.where, RepeatedKeys::refused) {}
  void restart() override {
    builder_ = JsonBuilder(place_.where, RepeatedKeys::refused);
    is_building_ = false;
    next_ = 0;
    rests_.clear();
    best_.clear();
    value_ = Json();
    obstacle_path_ = {};
    root_kind_ = "nothing";
  }
  void open_object() override { open("object", &JsonBuilder::open_object); }
  void close_object() override { close(&JsonBuilder::close_object); }
  void open_array() override { open("array", &JsonBuilder::open_array); }
  void close_array() override { close(&JsonBuilder::close_array); }
  void key(std::string&& name) override {
    if (is_building_) return builder_.key(std::move(name));
    next_ = rest_behind(name);
  }
  void value(Json&& plain) override {
    if (is_building_) return builder_.value(std::move(plain));
    if (!begins_field(plain.kind())) return;
    value_ = std::move(plain);
  }

  const char* root_kind() const { return root_kind_; }
  bool has_field() const { return !best_.empty(); }
  Json& value() { return value_; }
  std::string_view obstacle_path() const { return obstacle_path_; }  // empty: none
  const char* obstacle_kind() const { return obstacle_kind_; }

 private:
  // Where the path goes on behind this key of the object that is open.
  size_t rest_behind(std::string_view name) const {
    const size_t begin = rests_.back();
    if (begin == kOff) return kOff;
    const std::string_view rest = std::string_view(place_.path).substr(begin);
    if (!rest.starts_with(name)) return kOff;
    if (rest.size() == name.size()) return kField;
    return rest[name.size()] == '.' ? begin + name.size() + 1 : kOff;
  }

  // A value of this kind begins. Is it the field, and before every other reading of the path?
  bool begins_field(const char* kind) {
    if (rests_.empty()) root_kind_ = kind;
    if (next_ == kOff || rests_.empty()) return false;
    if (next_ != kField) {
      if (kind != std::string_view("object") && obstacle_path_.empty()) {
        obstacle_path_ = std::string_view(place_.path).substr(0, next_ - 1);
        obstacle_kind_ = kind;
      }
      if (kind != std::string_view("object")) next_ = kOff;
      return false;
    }
    next_ = kOff;  // what lies inside is no part of the way
    std::vector<size_t> reading = rests_;
    reading.push_back(kField);
    require<DataError>(reading != best_, place_.where, ": got the field '", place_.path,
                       "' twice in one record; need it once");
    if (reading < best_) return false;  // a longer key goes further, and so is the larger one
    best_ = std::move(reading);
    return true;
  }

  void open(const char* kind, void (JsonBuilder::*event)()) {
    if (!is_building_) is_building_ = begins_field(kind);
    if (is_building_) return (builder_.*event)();
    rests_.push_back(kind == std::string_view("object") ? next_ : kOff);
    next_ = kOff;
  }
  void close(void (JsonBuilder::*event)()) {
    if (!is_building_) {
      rests_.pop_back();
      next_ = kOff;
      return;
    }
    (builder_.*event)();
    if (builder_.is_open()) return;
    value_ = builder_.take();
    is_building_ = false;
  }

  const FieldPlace& place_;
  JsonBuilder builder_;  // of the field, where it is an object or array
  bool is_building_ = false;
  size_t next_ = 0;            // place of the value that comes next; that of the record is 0
  std::vector<size_t> rests_;  // places of the objects and arrays that are open
  std::vector<size_t> best_;   // those of the field found so far
  Json value_;
  std::string_view obstacle_path_;  // what lies on the way and is no object: the first
  const char* obstacle_kind_ = "";
  const char* root_kind_ = "nothing";
};

// A line that a JSON document goes on after.
void require_whole_record(std::string_view line, const FieldPlace& place) {
  const std::string_view text = line.substr(0, line.find_last_not_of(" \t\r") + 1);
  const bool goes_on = text.ends_with('[') || text.ends_with('{') || text.ends_with(',');
  require<DataError>(!goes_on, place.where, ": got ", quoted_excerpt(line),
                     ", after which the JSON goes on in the next line; need one record a line (",
                     text.find_first_not_of(" \t") == text.find('[') ? "jq -c '.[]' makes them of an array)"
                                                                     : "jq -c . writes them so)");
}

}  // namespace

JsonField read_json_field(std::string_view line, const FieldPlace& place) {
  FieldReader record(place);
  JsonField out;
  try {
    out.n_surrogates = read_foreign_json(line, place.where, record);
  } catch (const DataError& error) {
    require_whole_record(line, place);
    fail<DataError>(error.what(), place.or_skip);
  }
  const std::string_view root = record.root_kind();
  require<DataError>(root == "object", place.where, ": got ", root, " ", quoted_excerpt(line),
                     "; need a JSON object in each line",
                     root == "array" ? " (jq -c '.[]' makes them of an array)" : "");
  if (!record.has_field()) {
    require<DataError>(record.obstacle_path().empty(), place.where, ": got ", record.obstacle_kind(), " in field '",
                       record.obstacle_path(), "'; need an object there, for the ", place.name, " '", place.path, "' (",
                       place.option, ")", place.or_skip);
    fail<DataError>(place.where, ": got ", quoted_excerpt(line), "; need the ", place.name, " '", place.path, "' (",
                    place.option, ")", place.or_skip);
  }
  out.value = std::move(record.value());
  return out;
}

const std::string& text_of(const JsonField& field, const FieldPlace& place) {
  const Json& value = field.value;
  if (!value.is_string()) {
    const bool is_plain = !value.is_null() && !value.is_array() && !value.is_object();
    fail<DataError>(place.where, ": got ", value.kind(), is_plain ? " " + quoted_excerpt(value.dump()) : "",
                    " in field '", place.path, "'; need a string", place.or_skip);
  }
  return value.as_string();
}

}  // namespace evenkeel::data
