// GptOssForCausalLM (arXiv 2508.10925): attention with sinks, biases and a window in every other layer; a router with a
// bias, a softmax over the selected logits; experts with biases and a clamped activation, whose rows of gate and up
// take turns. On the hub the experts are in MXFP4.
#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {
namespace {

constexpr int64_t kWindow = 128;

// What a config.json without any rotation has.
ops::YarnScaling usual_scaling() {
  ops::YarnScaling out;
  out.factor = 32;
  out.original_length = 4096;
  out.truncate = false;
  return out;
}

// OpenAI's own names, which stand beside those that count.
void other_names(HfKeys& keys) {
  const HfConfig& config = keys.config();
  config.require_only("experts_per_token", keys.model().top_k);
  for (const char* key : {"initial_context_length", "rope_scaling_factor", "rope_ntk_alpha", "rope_ntk_beta"})
    config.find(key);
}

void gpt_oss_keys(HfKeys& keys) {
  auto& model = keys.model();
  auto& form = keys.form();
  decoder_keys(keys, {.norm_eps = 1e-5,
                      .max_sequence_length = 131072,
                      .theta = 150000,
                      .head_dim = 64,
                      .activation = ops::Activation::swiglu_clamped});
  keys.only("hidden_act", "silu");
  attention_bias(keys, "attention_bias", true);
  alternating_window(keys, kWindow);
  expert_keys(keys, "num_local_experts", "intermediate_size", 2880);
  keys.number("swiglu_alpha", model.activation_alpha, ops::GatedForm().alpha);
  keys.number("swiglu_limit", model.activation_limit, ops::GatedForm().limit);
  aux_loss(keys, 0.001);
  if (!keys.reads()) return;
  if (keys.config().find("rope_parameters") == nullptr && keys.config().find("rope_scaling") == nullptr)
    model.rope_scaling.value = usual_scaling();
  other_names(keys);
  model.expert_bias = model.router_bias = true;
  form.attention["sinks"] = true;
  form.router["kind"] = "top_k";
  form.router["score"] = "softmax_post";
  divide_a_single_weight(keys);
}

}  // namespace

Family gpt_oss_family() {
  const std::string layer = "model.layers.{i}.", experts = layer + "mlp.experts.";
  const Part gate_up{experts + "gate_up_proj", Rows::all, true, true}, down{experts + "down_proj", Rows::all, true};
  return {.model_type = "gpt_oss",
          .architecture = "GptOssForCausalLM",
          .rules = joined({stream_rules(),
                           norm_rules("input_layernorm", "post_attention_layernorm"),
                           attention_rules(),
                           {{"layers.{i}.attention.sinks", {{layer + "self_attn.sinks"}}},
                            {"layers.{i}.router.weight", {{layer + "mlp.router.weight"}}},
                            {"layers.{i}.router.bias", {{layer + "mlp.router.bias"}}},
                            {"layers.{i}.experts.gate_up", {gate_up}},
                            {"layers.{i}.experts.gate_up_bias", {{gate_up.name + "_bias", Rows::all, false, true}}},
                            {"layers.{i}.experts.down", {down}},
                            {"layers.{i}.experts.down_bias", {{down.name + "_bias"}}}}}),
          .keys = gpt_oss_keys};
}

}  // namespace evenkeel::checkpoint
