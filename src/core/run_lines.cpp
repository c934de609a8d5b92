#include "core/run_lines.h"

#include "core/counted.h"
#include "core/errors.h"
#include "core/json_lines.h"

namespace evenkeel {
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

// That `size` is that of the lines before; the first one says it.
void require_same(std::optional<size_t>& known, size_t size, const std::string& thing, const std::string& of, const std::string& where) {
  if (!known) known = size;
  require<DataError>(size == *known, where, ": got ", counted(static_cast<int64_t>(size), thing), " ", of, "; need ", *known, ", as in the lines before");
}

}  // namespace

void RunLines::take_place(const Json& line, const std::string& where) {
  const int64_t step = line.at("step").as_int();
  const std::string kind = line.find("eval") != nullptr ? "evaluation" : line.find("saturation") != nullptr ? "saturation"
                                                                                                            : "step";
  require<DataError>(step == step_ || step == step_ + 1, where, ": got step ", step, " after step ", step_, "; need every step of the run in order");
  require<DataError>(step > 0 || kind != "step", where, ": got step 0; need 1 as the first step of the run");
  require<DataError>(kind == "step" || step == step_, where, ": got the ", kind, " of step ", step, " after step ", step_, "; need the line of step ", step, " before it");
  if (step > step_) kinds_.clear();
  require<DataError>(kinds_.insert(kind).second, where, ": got ", kind == "step" ? "" : "the " + kind + " of ", "step ", step, " a second time; need it once");
  step_ = step;
}

void RunLines::add_load(const Json& layer, const std::string& where) {
  check_kind(layer, "load", kArray, where);
  const Json* load = layer.find("load");
  if (load == nullptr) return;
  for (const auto& share : load->as_array()) require_kind(share, kNumber, "a share of 'load'", where);
  require_same(n_experts_, load->size(), "share", "in the 'load' of layer " + std::to_string(layer.at("layer").as_int()), where);
}

void RunLines::add_routing(const Json& holder, const std::string& where) {
  check_kind(holder, "routing", kArray, where);
  const Json* routing = holder.find("routing");
  if (routing == nullptr) return;
  for (const auto& layer : routing->as_array()) {
    require_kind(layer, kObject, "a layer of 'routing'", where);
    key_of(layer, "layer", kInteger, where);
    key_of(layer, "mri", kNumber, where);
    add_load(layer, where);
  }
  require_same(n_layers_, routing->size(), "layer", "of 'routing'", where);
}

void RunLines::add(const Json& line, const std::string& where) {
  require<DataError>(line.is_object(), where, ": got ", line.kind(), "; need an object, as in every line of a run");
  const Json* step = line.find("step");
  require<DataError>(step != nullptr && step->is_integer(), where, ": got a line without a step; need one");
  const Json* phase = line.find("phase");
  require<DataError>(phase != nullptr && phase->is_string(), where, ": got a line without a phase; need one");
  for (const char* key : {"loss", "lr", "tokens"}) check_kind(line, key, kNumber, where);
  for (const char* key : {"loss_terms", "sources", "eval", "saturation"}) check_kind(line, key, kObject, where);
  add_routing(line, where);
  const Json *eval = line.find("eval"), *saturation = line.find("saturation");
  if (eval == nullptr && saturation == nullptr) key_of(line, "loss", kNumber, where);
  if (saturation != nullptr)
    for (const auto& [data, rows] : saturation->as_object()) require_kind(rows, kArray, "the saturation of '" + data + "'", where);
  if (eval != nullptr)
    for (const auto& [data, result] : eval->as_object()) {
      require_kind(result, kObject, "the evaluation of '" + data + "'", where);
      key_of(result, "loss", kNumber, where);
      add_routing(result, where);
    }
  take_place(line, where);
}

std::vector<Json> read_run_lines(const std::filesystem::path& path) {
  auto lines = read_json_lines(path);
  RunLines checked;
  for (size_t i = 0; i < lines.size(); ++i) checked.add(lines[i], place_of_line(path, i + 1));
  return lines;
}

}  // namespace evenkeel
