#include "checkpoint/families/family.h"
#include "core/errors.h"

// The list of families. To add one: its file in checkpoint/families, one line here, its test beside. A model that began
// in none of them is exported to the first that can hold it.
#define EVENKEEL_FAMILIES(X) \
  X(llama)                   \
  X(olmo2)                   \
  X(olmoe)                   \
  X(mixtral)                 \
  X(qwen3_moe)               \
  X(granitemoe)              \
  X(granitemoeshared)        \
  X(qwen2_moe)               \
  X(flex_olmo)               \
  X(deepseek_v2)             \
  X(deepseek_v3)             \
  X(glm4_moe)                \
  X(deepseek)                \
  X(gpt_oss)                 \
  X(openmoe)

namespace evenkeel::checkpoint {

#define X(name) Family name##_family();
EVENKEEL_FAMILIES(X)
#undef X

const std::vector<Family>& families() {
#define X(name) name##_family(),
  static const std::vector<Family> list = {EVENKEEL_FAMILIES(X)};
#undef X
  return list;
}

const Family& family_named(const std::string& name, const std::string& where) {
  std::string known;
  for (const auto& family : families()) {
    if (name == family.model_type) return family;
    add_to_list(known, family.model_type);
  }
  fail<CheckpointError>(where, ": model_type: got \"", name, "\"; need one of: ", known,
                        " (other families are not there yet)");
}

const Family* find_family(const Json& config) {
  const Json* type = config.find("model_type");
  for (const auto& family : families())
    if (family.mark != nullptr && config.find(family.mark) != nullptr) return &family;
  for (const auto& family : families())
    if (type != nullptr && family.mark == nullptr && *type == Json(family.model_type)) return &family;
  return nullptr;
}

const Family& family_of(const HfConfig& config) {
  const Family* found = find_family(config.json());
  return found != nullptr ? *found : family_named(config.text("model_type", ""), config.where());
}

Rules joined(std::vector<Rules> lists) {
  Rules out;
  for (auto& list : lists)
    for (auto& rule : list) out.push_back(std::move(rule));
  return out;
}

const std::string& tied_head_name() {
  static const std::string name = "lm_head.weight";
  return name;
}

namespace {

const std::string kLayer = "model.layers.{i}.";  // foreign
const std::string kOurs = "layers.{i}.";

}  // namespace

Rules stream_rules() {
  return {{"embedding.weight", {{"model.embed_tokens.weight"}}},
          {"final_norm.weight", {{"model.norm.weight"}}},
          {"head.weight", {{tied_head_name()}}}};
}

Rules norm_rules(const char* attention, const char* ffn) {
  return {{kOurs + "attention_norm.weight", {{kLayer + attention + ".weight"}}},
          {kOurs + "ffn_norm.weight", {{kLayer + ffn + ".weight"}}}};
}

Rules attention_rules() {
  Rules out;
  for (const std::string end : {".weight", ".bias"}) {
    out.push_back({kOurs + "attention.qkv" + end,
                   {{kLayer + "self_attn.q_proj" + end, Rows::queries},
                    {kLayer + "self_attn.k_proj" + end, Rows::keys},
                    {kLayer + "self_attn.v_proj" + end, Rows::values}}});
    out.push_back({kOurs + "attention.out" + end, {{kLayer + "self_attn.o_proj" + end}}});
  }
  return out;
}

Rules latent_attention_rules() {
  Rules out;
  for (const auto& [ours, theirs] : {std::pair("q.weight", "q_proj.weight"),
                                     {"q_a.weight", "q_a_proj.weight"},
                                     {"q_a.bias", "q_a_proj.bias"},
                                     {"q_norm.weight", "q_a_layernorm.weight"},
                                     {"q_b.weight", "q_b_proj.weight"},
                                     {"kv_a.weight", "kv_a_proj_with_mqa.weight"},
                                     {"kv_a.bias", "kv_a_proj_with_mqa.bias"},
                                     {"kv_norm.weight", "kv_a_layernorm.weight"},
                                     {"kv_b.weight", "kv_b_proj.weight"},
                                     {"out.weight", "o_proj.weight"},
                                     {"out.bias", "o_proj.bias"}})
    out.push_back({kOurs + "attention." + ours, {{kLayer + "self_attn." + theirs}}});
  return out;
}

Rules qk_norm_rules() {
  return {{kOurs + "attention.q_norm.weight", {{kLayer + "self_attn.q_norm.weight"}}},
          {kOurs + "attention.k_norm.weight", {{kLayer + "self_attn.k_norm.weight"}}}};
}

Rules dense_rules() {
  Rules out;
  for (const std::string end : {".weight", ".bias"}) {
    out.push_back({kOurs + "ffn.gate_up" + end,
                   {{kLayer + "mlp.gate_proj" + end, Rows::half}, {kLayer + "mlp.up_proj" + end, Rows::half}}});
    out.push_back({kOurs + "ffn.down" + end, {{kLayer + "mlp.down_proj" + end}}});
  }
  return out;
}

Rules expert_rules() {
  const std::string expert = kLayer + "mlp.experts.{e}.", stacked = kLayer + "mlp.experts.";
  return {
      {kOurs + "router.weight", {{kLayer + "mlp.gate.weight"}}},
      {kOurs + "experts.gate_up", {{expert + "gate_proj.weight", Rows::half}, {expert + "up_proj.weight", Rows::half}}},
      {kOurs + "experts.down", {{expert + "down_proj.weight"}}},
      {kOurs + "experts.gate_up", {{stacked + "gate_up_proj"}}},
      {kOurs + "experts.down", {{stacked + "down_proj"}}}};
}

Rules shared_rules(const std::string& name) {
  return {{kOurs + "shared.gate_up.weight",
           {{kLayer + name + "gate_proj.weight", Rows::half}, {kLayer + name + "up_proj.weight", Rows::half}}},
          {kOurs + "shared.down.weight", {{kLayer + name + "down_proj.weight"}}}};
}

Rules bias_rules() { return {{kOurs + "router_state.bias", {{kLayer + "mlp.gate.e_score_correction_bias"}}}}; }

std::vector<EmptyTensor> empty_shared_experts(const model::ModelConfig& config) {
  const std::string shared = kLayer + "mlp.shared_experts.";
  return {{shared + "gate_proj.weight", {0, config.d_model}},
          {shared + "up_proj.weight", {0, config.d_model}},
          {shared + "down_proj.weight", {config.d_model, 0}}};
}

}  // namespace evenkeel::checkpoint
