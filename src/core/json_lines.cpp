#include "core/json_lines.h"

#include "core/file_io.h"

namespace evenkeel {

std::vector<std::string_view> whole_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t begin = 0;;) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) return lines;
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

Json read_json(const std::filesystem::path& path) { return Json::parse(read_file(path), path.string()); }

std::vector<Json> read_json_lines(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  std::vector<Json> out;
  for (const auto line : whole_lines(text)) out.push_back(Json::parse(line, place_of_line(path, out.size() + 1)));
  return out;
}

std::string place_of_line(const std::filesystem::path& path, size_t number) { return path.string() + ", line " + std::to_string(number); }

namespace {

struct Kind {
  bool (Json::*holds)() const;
  const char* name;
};
constexpr Kind kNumber{&Json::is_number, "a number"}, kInteger{&Json::is_integer, "an integer"}, kArray{&Json::is_array, "an array"}, kObject{&Json::is_object, "an object"};

void require_kind(const Json& value, const Kind& kind, const std::string& what, const std::string& where) {
  require<DataError>((value.*kind.holds)(), where, ": got ", value.kind(), " as ", what, "; need ", kind.name);
}

// Of a key that may be missing.
void check_kind(const Json& object, const char* key, const Kind& kind, const std::string& where) {
  if (const Json* value = object.find(key)) require_kind(*value, kind, std::string("'") + key + "'", where);
}

const Json& key_of(const Json& object, const char* key, const Kind& kind, const std::string& where) {
  const Json* value = object.find(key);
  require<DataError>(value != nullptr, where, ": got no '", key, "'; need it");
  check_kind(object, key, kind, where);
  return *value;
}

void require_routing(const Json& holder, const std::string& where) {
  check_kind(holder, "routing", kArray, where);
  const Json* routing = holder.find("routing");
  if (routing == nullptr) return;
  for (const auto& layer : routing->as_array()) {
    require_kind(layer, kObject, "a layer of 'routing'", where);
    key_of(layer, "layer", kInteger, where);
    key_of(layer, "mri", kNumber, where);
  }
}

}  // namespace

void require_run_line(const Json& line, const std::string& where) {
  require<DataError>(line.is_object(), where, ": got ", line.kind(), "; need an object, as in every line of a run");
  const Json* step = line.find("step");
  require<DataError>(step != nullptr && step->is_integer(), where, ": got a line without a step; need one");
  const Json* phase = line.find("phase");
  require<DataError>(phase != nullptr && phase->is_string(), where, ": got a line without a phase; need one");
  for (const char* key : {"loss", "lr", "tokens"}) check_kind(line, key, kNumber, where);
  for (const char* key : {"loss_terms", "sources", "eval", "saturation"}) check_kind(line, key, kObject, where);
  require_routing(line, where);
  const Json *eval = line.find("eval"), *saturation = line.find("saturation");
  if (eval == nullptr && saturation == nullptr) key_of(line, "loss", kNumber, where);
  if (saturation != nullptr)
    for (const auto& [data, rows] : saturation->as_object()) require_kind(rows, kArray, "the saturation of '" + data + "'", where);
  if (eval == nullptr) return;
  for (const auto& [data, result] : eval->as_object()) {
    require_kind(result, kObject, "the evaluation of '" + data + "'", where);
    key_of(result, "loss", kNumber, where);
    require_routing(result, where);
  }
}

std::vector<Json> read_run_lines(const std::filesystem::path& path) {
  auto lines = read_json_lines(path);
  for (size_t i = 0; i < lines.size(); ++i) require_run_line(lines[i], place_of_line(path, i + 1));
  return lines;
}

}  // namespace evenkeel
