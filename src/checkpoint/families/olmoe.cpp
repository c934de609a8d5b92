// OlmoeForCausalLM (arXiv 2409.02060): every layer has experts, queries and keys are normalised whole.
#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {
namespace {

void olmoe_keys(HfKeys& keys) {
  auto& form = keys.form();
  decoder_keys(keys, {.norm_eps = 1e-5, .max_sequence_length = 4096, .has_head_dim = false});  // it sizes its norms so
  attention_bias(keys, "attention_bias", false);
  expert_keys(keys, "num_experts", "intermediate_size");
  softmax_router(keys, Renormalized::by_key);
  aux_loss(keys, 0.01);
  if (keys.reads()) {
    keys.config().require_only("sliding_window", Json());
    keys.model().qk_norm = model::QkNorm::whole;
    form.attention["clip"] = keys.config().find("clip_qkv") == nullptr ? 0.0 : keys.config().number("clip_qkv", 0);
  } else {
    const double clip = form.attention.at("kind") == Json("grouped") ? form.attention.at("clip").as_double() : 0;
    keys.put("clip_qkv", clip > 0 ? Json(clip) : Json());
  }
}

}  // namespace

Family olmoe_family() {
  return {.model_type = "olmoe",
          .architecture = "OlmoeForCausalLM",
          .rules = joined({stream_rules(), norm_rules("input_layernorm", "post_attention_layernorm"), attention_rules(),
                           qk_norm_rules(), expert_rules()}),
          .keys = olmoe_keys};
}

}  // namespace evenkeel::checkpoint
