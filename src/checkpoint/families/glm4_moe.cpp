// Glm4MoeForCausalLM (arXiv 2508.06471): V3's router and experts with ordinary attention, a share of each head rotated.
#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {
namespace {

void glm4_moe_keys(HfKeys& keys) {
  auto& model = keys.model();
  decoder_keys(keys, {.norm_eps = 1e-5, .max_sequence_length = 131072, .rotary_fraction = 0.5});
  attention_bias(keys, "attention_bias", false, /*has_out_bias=*/false);
  expert_keys(keys, "n_routed_experts", "moe_intermediate_size", 1408);
  dense_first_layers(keys, 1);
  shared_by_count(keys, 1);
  sigmoid_router(keys, 1, 1, 1.0);
  if (!keys.reads()) {
    keys.put("num_nextn_predict_layers", 0);
    return keys.put("use_qk_norm", model.qk_norm == model::QkNorm::per_head);
  }
  keys.config().count("num_nextn_predict_layers", 0);
  keys.config().count("num_mtp_layers", 0);
  if (keys.config().flag("use_qk_norm", false)) model.qk_norm = model::QkNorm::per_head;
}

}  // namespace

Family glm4_moe_family() {
  return {.model_type = "glm4_moe",
          .architecture = "Glm4MoeForCausalLM",
          .rules = joined({stream_rules(), norm_rules("input_layernorm", "post_attention_layernorm"), attention_rules(),
                           qk_norm_rules(), expert_rules(), bias_rules(), shared_rules("mlp.shared_experts."),
                           dense_rules()}),
          .keys = glm4_moe_keys,
          .has_extra_layers = true,
          .empty_shared = empty_shared_experts};
}

}  // namespace evenkeel::checkpoint
