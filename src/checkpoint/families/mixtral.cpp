// MixtralForCausalLM (arXiv 2401.04088): experts in every layer, weights divided by their sum, a window for all layers.
#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {
namespace {

// In training the hidden states are multiplied in place, so that the experts see the noise too.
void jitter_key(HfKeys& keys) {
  auto& router = keys.form().router;
  const Json* jitter = router.find("jitter");
  if (!keys.reads()) {
    const bool is_its = jitter != nullptr && router.at("jitter_target") == Json("hidden");
    return keys.put("router_jitter_noise", is_its ? *jitter : Json(0.0));
  }
  const double noise = keys.config().number("router_jitter_noise", 0);
  if (noise == 0) return;
  router["jitter"] = noise;
  router["jitter_target"] = "hidden";
}

void mixtral_keys(HfKeys& keys) {
  decoder_keys(keys, {.norm_eps = 1e-5, .max_sequence_length = 131072, .theta = 1e6});
  expert_keys(keys, "num_local_experts", "intermediate_size");
  softmax_router(keys, Renormalized::always);
  jitter_key(keys);
  aux_loss(keys, 0.001);
  sliding_window(keys, nullptr);
  if (keys.reads()) keys.config().require_only("attention_bias", false);
}

}  // namespace

Family mixtral_family() {
  const std::string layer = "model.layers.{i}.", expert = layer + "block_sparse_moe.experts.{e}.";
  Rules experts = {
      {"layers.{i}.router.weight", {{layer + "block_sparse_moe.gate.weight"}}},
      {"layers.{i}.experts.gate_up", {{expert + "w1.weight", Rows::half}, {expert + "w3.weight", Rows::half}}},
      {"layers.{i}.experts.down", {{expert + "w2.weight"}}}};
  return {.model_type = "mixtral",
          .architecture = "MixtralForCausalLM",
          .rules = joined({stream_rules(), norm_rules("input_layernorm", "post_attention_layernorm"), attention_rules(),
                           std::move(experts), expert_rules()}),
          .keys = mixtral_keys};
}

}  // namespace evenkeel::checkpoint
