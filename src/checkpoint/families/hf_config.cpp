#include "checkpoint/families/hf_config.h"

#include <cmath>

#include "core/counted.h"
#include "core/errors.h"
#include "core/file_io.h"
#include "core/foreign_json.h"

namespace evenkeel::checkpoint {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{1} << 24;
constexpr int64_t kMaxSize = int64_t{1} << 24;  // of one dimension: products of two stay far from overflow
constexpr double kDefaultTheta = 1e4;

bool is_equal(const Json& left, const Json& right) {  // 0 and 0.0 are the same setting
  if (left.is_number() && right.is_number()) return left.as_double() == right.as_double();
  return left == right;
}

std::string shown(const Json& value) {
  const std::string text = value.dump();
  return text.size() > 120 ? text.substr(0, 117) + "..." : text;
}

}  // namespace

HfConfig::HfConfig(const std::filesystem::path& folder) : where_((folder / "config.json").string()) {
  try {
    json_ = parse_foreign_json(read_file(where_, kMaxConfigBytes), where_);
  } catch (const DataError& error) {
    throw CheckpointError(error.what());
  }
  require<CheckpointError>(json_.is_object(), where_, ": got ", json_.kind(), "; need an object");
}

const Json* HfConfig::find(const char* key) const {
  const Json* found = json_.find(key);
  return found == nullptr || found->is_null() ? nullptr : found;
}

void HfConfig::refuse(const std::string& key, const Json* got, const std::string& need) const {
  const char* const nothing = json_.find(key) != nullptr ? "null" : "nothing";
  fail<CheckpointError>(where_, ": ", key, ": got ", got == nullptr ? nothing : shown(*got), "; need ", need);
}

int64_t HfConfig::size(const char* key) const {
  const Json* found = find(key);
  const bool is_size = found != nullptr && found->is_integer() && found->as_int() >= 1 && found->as_int() <= kMaxSize;
  const std::string range = "1.." + std::to_string(kMaxSize);
  if (!is_size)
    refuse(key, found,
           found != nullptr && has_fraction(*found)
               ? "a whole number " + range + ", written without a point or an exponent"
               : "an integer " + range);
  return found->as_int();
}

int64_t HfConfig::size(const char* key, int64_t default_size) const {
  return json_.find(key) == nullptr ? default_size : size(key);
}

int64_t HfConfig::size_or_null(const char* key, int64_t default_size) const {
  return find(key) == nullptr ? default_size : size(key);
}

double HfConfig::number(const char* key, double default_number) const {
  const Json* found = json_.find(key);
  if (found == nullptr) return default_number;
  if (!found->is_number() || !std::isfinite(found->as_double())) refuse(key, found, "a number");
  return found->as_double();
}

bool HfConfig::flag(const char* key, bool default_flag) const {
  const Json* found = find(key);
  if (found == nullptr) return default_flag;
  if (!found->is_bool()) refuse(key, found, "true or false");
  return found->as_bool();
}

std::string HfConfig::text(const char* key, const std::string& default_text) const {
  const Json* found = find(key);
  if (found == nullptr) return default_text;
  if (!found->is_string()) refuse(key, found, "a string");
  return found->as_string();
}

void HfConfig::require_only(const char* key, const Json& value) const {
  const Json* found = find(key);
  if (found != nullptr && !is_equal(*found, value)) refuse(key, found, shown(value) + " (evenkeel has nothing else)");
}

void HfConfig::require_architecture(const char* name) const {
  const Json* found = find("architectures");
  if (found == nullptr) return;
  const bool is_listed = found->is_array() && found->size() == 1 && found->at(0) == Json(name);
  if (!is_listed) refuse("architectures", found, std::string("[\"") + name + "\"]");
}

void HfConfig::require_plain_rotation(const std::string& table, const Json& rope) const {
  if (!rope.is_object()) refuse(table, &rope, "an object");
  for (const auto& [key, value] : rope.as_object()) {
    if (value.is_null() || key == "rope_theta") continue;
    const bool is_type = key == "rope_type" || key == "type";
    const bool is_plain =
        (is_type && value == Json("default")) || (key == "partial_rotary_factor" && is_equal(value, 1.0));
    if (!is_plain)
      refuse(table + "." + key, &value,
             is_type ? "\"default\" (evenkeel has no other rotation)" : "the plain rotation, rope_theta alone");
  }
}

double HfConfig::rope_theta() const {
  const Json* theta = json_.find("rope_theta");
  if (theta != nullptr && theta->is_null()) refuse("rope_theta", theta, "a number above 0");
  for (const char* table : {"rope_scaling", "rope_parameters"}) {
    const Json* rope = find(table);
    if (rope == nullptr) continue;
    require_plain_rotation(table, *rope);
    const Json* inner = rope->find("rope_theta");
    if (inner == nullptr) continue;
    if (inner->is_null()) refuse(std::string(table) + ".rope_theta", inner, "a number above 0");
    if (theta != nullptr && !is_equal(*theta, *inner))
      refuse(std::string(table) + ".rope_theta", inner, shown(*theta) + ", the rope_theta beside it");
    theta = inner;
  }
  if (theta == nullptr) return kDefaultTheta;
  const bool is_base = theta->is_number() && std::isfinite(theta->as_double()) && theta->as_double() > 0;
  if (!is_base) refuse("rope_theta", theta, "a number above 0");
  return theta->as_double();
}

namespace {

// Keys with the one value that evenkeel has.
struct OnlyValue {
  const char* key;
  Json value;
};
const std::vector<OnlyValue>& only_values() {
  static const std::vector<OnlyValue> values = {
      {"attention_bias", false},       {"mlp_bias", false},        {"clip_qkv", Json()},
      {"attention_dropout", 0.0},      {"sliding_window", Json()}, {"partial_rotary_factor", 1.0},
      {"quantization_config", Json()},
  };
  return values;
}

ops::Activation activation_of(const HfConfig& config) {
  const std::string name = config.text("hidden_act", "silu");
  if (name == "silu" || name == "swish") return ops::Activation::swiglu;
  if (name == "gelu") return ops::Activation::geglu;  // transformers' "gelu" is the exact one
  fail<CheckpointError>(config.where(), ": hidden_act: got \"", name, "\"; need \"silu\" or \"gelu\"");
}

void check_storage_type(const HfConfig& config) {
  for (const char* key : {"dtype", "torch_dtype"}) {
    std::string name = config.text(key, "float32");
    if (name.starts_with("torch.")) name = name.substr(6);
    const bool is_known = name == "float32" || name == "bfloat16" || name == "float16" || name == "auto";
    require<CheckpointError>(is_known, config.where(), ": ", key, ": got \"", name,
                             "\"; need float32, bfloat16 or float16");
  }
}

}  // namespace

void read_decoder_config(const HfConfig& config, double default_norm_eps, model::ModelConfig& out) {
  for (const auto& [key, value] : only_values()) config.require_only(key, value);
  check_storage_type(config);
  out.vocab_size = config.size("vocab_size");
  out.d_model = config.size("hidden_size");
  out.n_layers = config.size("num_hidden_layers");
  out.n_heads = config.size("num_attention_heads");
  out.n_kv_heads = config.size_or_null("num_key_value_heads", out.n_heads);
  out.head_dim = config.size_or_null("head_dim", out.d_model / out.n_heads);
  out.norm_eps = config.number("rms_norm_eps", default_norm_eps);
  out.rope_theta = config.rope_theta();
  out.activation = activation_of(config);
  out.tie_embeddings = config.flag("tie_word_embeddings", false);
}

}  // namespace evenkeel::checkpoint
