#include "checkpoint/families/rotation_keys.h"

#include <cmath>

#include "core/errors.h"

namespace evenkeel::checkpoint {
namespace {

constexpr const char* kOriginalLength = "original_max_position_embeddings";

// The keys of a scaling with their defaults; null of an unknown kind.
template <size_t kIndex = 0>
Json keys_of_kind(const std::string& kind) {
  if constexpr (kIndex < std::variant_size_v<ops::RotaryScaling>) {
    using Options = std::variant_alternative_t<kIndex, ops::RotaryScaling>;
    if (kind == Options::kName) return to_json(Options{});
    return keys_of_kind<kIndex + 1>(kind);
  }
  return {};
}

// The same table as another version would write it: without what stands elsewhere too, and `type` by its newer name.
Json plain_table(const Json& table) {
  Json out = Json::object();
  for (const auto& [key, value] : table.as_object())
    if (!value.is_null() && key != "rope_theta" && key != "partial_rotary_factor")
      out[key == "type" ? "rope_type" : key] = value;
  if (out.find("rope_type") == nullptr) out["rope_type"] = "default";
  return out;
}

bool is_same_table(const Json& left, const Json& right) {
  if (left.size() != right.size()) return false;
  for (const auto& [key, value] : left.as_object()) {
    const Json* other = right.find(key);
    if (other == nullptr || !is_same_setting(value, *other)) return false;
  }
  return true;
}

// A number that may stand at the top or in a table, or both if they agree. nullptr where it stands nowhere.
const Json* one_number(const HfConfig& config, const char* key) {
  const bool null_is_absent = std::string_view(key) == "partial_rotary_factor";
  const Json* found = config.find(key);
  const Json* out = null_is_absent ? found : config.json().find(key);
  const auto require_number = [&](const std::string& name, const Json& value) {
    if (!value.is_number() || !std::isfinite(value.as_double()) || value.as_double() <= 0)
      config.refuse(name, value.is_null() ? nullptr : &value, "a number above 0");
  };
  if (out != nullptr) require_number(key, *out);
  for (const char* table : {"rope_scaling", "rope_parameters"}) {
    const Json* rope = config.find(table);
    const Json* inner = rope != nullptr ? rope->find(key) : nullptr;
    if (inner == nullptr || (inner->is_null() && null_is_absent)) continue;
    const std::string name = std::string(table) + "." + key;
    if (inner->is_null()) fail<CheckpointError>(config.where(), ": ", name, ": got null; need a number above 0");
    require_number(name, *inner);
    if (out != nullptr && !is_same_setting(*out, *inner))
      config.refuse(name, inner, out->dump() + ", the " + key + " beside it");
    out = inner;
  }
  return out;
}

// What `rope_scaling` and `rope_parameters` say of the scaling, and which of them it was.
std::pair<Json, std::string> scaling_table(const HfConfig& config) {
  Json out = Json::Object{{"rope_type", "default"}};
  std::string name = "rope_parameters";
  for (const char* table : {"rope_scaling", "rope_parameters"}) {
    const Json* rope = config.find(table);
    if (rope == nullptr) continue;
    if (!rope->is_object()) config.refuse(table, rope, "an object");
    const Json plain = plain_table(*rope);
    const bool is_default = plain.size() == 1 && plain.at("rope_type") == Json("default");
    const bool is_first = out.size() == 1 && out.at("rope_type") == Json("default");
    if (!is_default && !is_first && !is_same_table(out, plain))
      config.refuse(table, rope, "the same as in rope_scaling beside it");
    if (is_default) continue;
    out = plain;
    name = table;
  }
  return {out, name};
}

void read_scaling(HfKeys& keys) {
  const HfConfig& config = keys.config();
  const auto [table, name] = scaling_table(config);
  const Json& type = table.at("rope_type");
  const std::string kind = type.is_string() && type != Json("default") ? type.as_string() : "none";
  const Json known = keys_of_kind(kind);
  if (known.is_null() || !type.is_string() || type == Json("none"))
    config.refuse(name + (config.find(name.c_str())->find("rope_type") != nullptr ? ".rope_type" : ".type"), &type,
                  "one of: default, linear, dynamic, llama3, yarn, longrope");
  Json ours = Json::Object{{"kind", kind}};
  for (const auto& [key, value] : table.as_object()) {
    if (key == "rope_type") continue;
    const std::string our_key = key == kOriginalLength ? "original_length" : key;
    if (known.find(our_key) == nullptr)
      config.refuse(name + "." + key, &value, "no such key beside the type \"" + kind + "\"");
    ours[our_key] = value;
  }
  const bool has_factor = kind == "linear" || kind == "dynamic" || kind == "llama3";  // of yarn it follows from lengths
  for (const char* key : {"factor", "low_freq_factor", "high_freq_factor"})
    if (has_factor && known.find(key) != nullptr && ours.find(key) == nullptr)
      config.refuse(name + "." + key, nullptr, "a number: the type \"" + kind + "\" has no default for it");
  const int64_t most = keys.form().max_sequence_length;
  if (known.find("original_length") != nullptr) {
    const int64_t original = ours.find("original_length") == nullptr
                                 ? config.size_or_null(kOriginalLength, most)
                                 : HfConfig(table, config.where() + ": " + name).size(kOriginalLength);
    if (kind == "dynamic" && original != most)
      config.refuse(name + "." + kOriginalLength, table.find(kOriginalLength),
                    std::to_string(most) + ", as max_position_embeddings");
    ours["original_length"] = original;
    if ((kind == "yarn" || kind == "longrope") && ours.find("factor") == nullptr)
      ours["factor"] = static_cast<double>(most) / static_cast<double>(original);
  }
  try {
    read_value(config_from_json(ours, config.where() + ": " + name), "model.rope_scaling", keys.model().rope_scaling);
  } catch (const ConfigError& error) {
    throw CheckpointError(error.what());
  }
}

void read_rotation(HfKeys& keys, double default_theta, std::optional<double> rotary_fraction) {
  const HfConfig& config = keys.config();
  read_scaling(keys);
  const Json* theta = one_number(config, "rope_theta");
  keys.model().rope_theta = theta == nullptr ? default_theta : theta->as_double();
  const Json* fraction = one_number(config, "partial_rotary_factor");
  if (fraction == nullptr) {
    keys.model().rotary_fraction = rotary_fraction.value_or(1.0);
    return;
  }
  const bool is_scaled = !std::holds_alternative<ops::NoScaling>(keys.model().rope_scaling.value);
  if (fraction->as_double() != 1 && (!rotary_fraction || is_scaled)) {
    const Json* rope = config.find("rope_parameters");
    const bool is_inner = rope != nullptr && rope->find("partial_rotary_factor") == fraction;
    config.refuse(is_inner ? "rope_parameters.partial_rotary_factor" : "partial_rotary_factor", fraction,
                  "1: the class rotates whole heads here");
  }
  keys.model().rotary_fraction = fraction->as_double();
}

void write_rotation(HfKeys& keys, std::optional<double> rotary_fraction) {
  const auto& model = keys.model();
  Json table = to_json(model.rope_scaling);
  const bool is_scaled = table.at("kind") != Json("none");
  Json rope = Json::Object{{"rope_type", is_scaled ? table.at("kind") : Json("default")}};
  for (const auto& [key, value] : table.as_object()) {
    const bool is_unset = (key == "attention_factor" || key == "mscale" || key == "mscale_all_dim") &&
                          value.as_double() == 0;  // not given
    if (key != "kind" && !is_unset) rope[key == "original_length" ? kOriginalLength : key] = value;
  }
  if (table.at("kind") == Json("dynamic")) {
    rope.erase(kOriginalLength);  // it is the longest sequence
    keys.form().max_sequence_length = table.at("original_length").as_int();
  }
  keys.put("rope_theta", model.rope_theta);
  if (is_scaled) {
    Json older = rope;
    older["type"] = rope.at("rope_type");
    keys.put("rope_scaling", std::move(older));
  }
  rope["rope_theta"] = model.rope_theta;
  if (rotary_fraction) {
    rope["partial_rotary_factor"] = model.rotary_fraction;
    keys.put("partial_rotary_factor", model.rotary_fraction);
  }
  keys.put("rope_parameters", std::move(rope));
}

}  // namespace

void rotation_keys(HfKeys& keys, double default_theta, std::optional<double> rotary_fraction) {
  if (keys.reads()) {
    read_rotation(keys, default_theta, rotary_fraction);
  } else {
    write_rotation(keys, rotary_fraction);
  }
}

}  // namespace evenkeel::checkpoint
