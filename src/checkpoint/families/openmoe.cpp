// OpenMoE (arXiv 2402.01739) as its port to PyTorch has it: model_type "llama", known by moe_layer_interval; its code
// lies in the folder. Experts in every n-th layer, and there a further feed-forward network behind them; gates of twice
// the width; scores that are not scaled; assignments dropped over capacity, at evaluation too.
#include "checkpoint/families/family.h"
#include "core/errors.h"

namespace evenkeel::checkpoint {
namespace {

constexpr double kTheta = 1e4;  // stands in the code

// Of two names of a key the one that the file has; the first where it is written.
const char* spelled(const HfKeys& keys, const char* first, const char* second) {
  if (!keys.reads() || keys.config().find(second) == nullptr) return first;
  const Json* other = keys.config().find(first);
  const Json* found = keys.config().find(second);
  if (other != nullptr && !is_same_setting(*other, *found))
    keys.config().refuse(second, found, other->dump() + ", as " + first + " says");
  return second;
}

void expert_layers(HfKeys& keys) {
  auto& model = keys.model();
  keys.size("num_experts", model.n_experts);
  keys.size(spelled(keys, "router_topk", "topk"), model.top_k, 2);
  keys.size("intermediate_size", model.d_expert);
  if (!keys.reads()) {
    const auto layers = layers_with_experts(model);
    return keys.put("moe_layer_interval", layers.empty() ? model.n_layers : layers.front() + 1);
  }
  model.moe_layers = {keys.config().size("moe_layer_interval"), {}};
  model.d_ff = model.d_extra = model.d_expert;
}

void capacity_keys(HfKeys& keys) {
  auto& capacity = keys.model().capacity;
  if (keys.reads()) capacity = moe::capacity_rule("colossalai", keys.config().where());
  keys.number(spelled(keys, "router_capacity_factor_train", "capacity_factor_train"), capacity.factor_train, 1.25);
  keys.number(spelled(keys, "router_capacity_factor_eval", "capacity_factor_eval"), capacity.factor_eval, 2);
  keys.count(spelled(keys, "router_min_capacity", "min_capacity"), capacity.minimum, 4);
  const char* drops = spelled(keys, "router_drop_tks", "drop_tks");
  if (!keys.reads()) return keys.put(drops, true);
  for (const auto& [key, factor] :
       {std::pair("factor_train", capacity.factor_train), {"factor_eval", capacity.factor_eval}})
    require<CheckpointError>(factor > 0 && factor <= 1e6, keys.config().where(), ": capacity ", key, ": got ", factor,
                             "; need more than 0, at most 1e6");
  if (!keys.config().flag(drops, true))
    keys.form().notices.push_back(keys.config().where() + ": " + drops +
                                  ": got false; assignments are dropped all the same, as the class does without groups "
                                  "of processes");
}

void losses(HfKeys& keys) {
  auto& balance = keys.model().balance;
  const char* aux = spelled(keys, "router_aux_loss_factor", "aux_loss_factor");
  if (!keys.reads()) {
    const bool is_own = balance.terms.size() == 1 && balance.terms[0].loss.text() == "flaxformer";
    keys.put(aux, is_own ? balance.terms[0].coefficient : 0.0);
    return keys.put("router_z_loss_factor", balance.z_coefficient);
  }
  const HfConfig& config = keys.config();
  const double coefficient = config.number(aux, 0.01), z = config.number("router_z_loss_factor", 1e-4);
  for (const auto& [key, value] : {std::pair(aux, coefficient), {"router_z_loss_factor", z}})
    require<CheckpointError>(value >= 0, config.where(), ": ", key, ": got ", value, "; need at least 0");
  if (coefficient > 0) balance.terms = {{"flaxformer", coefficient}};
  balance.z_coefficient = z;
  balance.z_reduce = moe::ZReduction::mean;
  const auto note = [&](const char* key, const std::string& what) {
    if (config.number(key, 0) > 0)
      keys.form().notices.push_back(config.where() + ": " + key + ": got " + config.find(key)->dump() + "; " + what +
                                    ": evaluation is the same without it, training is not");
  };
  note("label_smoothing", "evenkeel has no such term of the loss");
  note("z_loss_factor", "a model here has no such key, train.logit_z_coefficient of a recipe is that term");
}

// Settings of how it is computed, not of what.
void pass_over(const HfConfig& config) {
  for (const auto& [key, value] : config.json().as_object())
    if (key.starts_with("enable_") || key.starts_with("load_balance_")) config.find(key.c_str());
  for (const char* key : {"expert_parallel", "chunk_head"}) config.find(key);
}

void openmoe_keys(HfKeys& keys) {
  auto& model = keys.model();
  auto& form = keys.form();
  decoder_keys(keys, {.norm_eps = 1e-6, .max_sequence_length = 2048, .activation = ops::Activation::swiglu_double});
  keys.only("hidden_act", "swiglu");
  keys.only(spelled(keys, "mlp_gated", "gated"), true);
  expert_layers(keys);
  capacity_keys(keys);
  losses(keys);
  if (!keys.reads()) return;
  const HfConfig& config = keys.config();
  if (model.rope_theta != kTheta)
    config.refuse("rope_theta", config.find("rope_theta"), "10000, which stands in the code");
  config.require_only("attention_bias", false);
  config.require_only(spelled(keys, "router_noisy_policy", "noisy_policy"), Json());
  config.require_only("layer_norm_epsilon", model.norm_eps);
  config.require_only("num_key_value_heads", model.n_heads);
  if (!std::holds_alternative<ops::NoScaling>(model.rope_scaling.value))
    config.refuse("rope_scaling", config.find("rope_scaling"), "null: the class turns every pair by its own angle");
  pass_over(config);
  form.attention["scale"] = 1.0;
  form.router["kind"] = "top_k";
  form.router["score"] = "softmax_pre";
}

// Gate and up beside each other: the gate twice as wide.
TensorRule gate_up_rule(const std::string& ours, const std::string& gate, const std::string& up, bool is_transposed) {
  return {ours, {{gate, Rows::two_thirds, is_transposed}, {up, Rows::third, is_transposed}}};
}

Rules gated_rules(const std::string& ours, const std::string& theirs) {
  return {gate_up_rule("layers.{i}." + ours + ".gate_up.weight", theirs + "gate_proj.weight", theirs + "up_proj.weight",
                       false),
          {"layers.{i}." + ours + ".down.weight", {{theirs + "down_proj.weight"}}}};
}

}  // namespace

Family openmoe_family() {
  const std::string layer = "model.layers.{i}.", experts = layer + "mlp.experts.";
  return {.model_type = "openmoe",
          .architecture = "OpenMoeForCausalLM",
          .rules = joined({stream_rules(),
                           norm_rules("input_layernorm", "post_attention_layernorm"),
                           attention_rules(),
                           gated_rules("ffn", layer + "mlp."),
                           gated_rules("extra", layer + "extra_mlp."),
                           {{"layers.{i}.extra_norm.weight", {{layer + "pre_extra_mlp_layernorm.weight"}}},
                            {"layers.{i}.router.weight", {{layer + "mlp.gate_weight"}}},
                            gate_up_rule("layers.{i}.experts.gate_up", experts + "wi_gate", experts + "wi_up", true),
                            {"layers.{i}.experts.down", {{experts + "wo", Rows::all, true}}}}}),
          .keys = openmoe_keys,
          .is_remote = true,
          .written_type = "llama",
          .mark = "moe_layer_interval"};
}

}  // namespace evenkeel::checkpoint
