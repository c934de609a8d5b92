// FlexOlmoForCausalLM (arXiv 2507.07024): OLMo 2's block with OLMoE's experts in every layer.
#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {
namespace {

void flex_olmo_keys(HfKeys& keys) {
  decoder_keys(keys, {.norm_eps = 1e-6, .max_sequence_length = 4096, .theta = 5e5});
  attention_bias(keys, "attention_bias", false);
  expert_keys(keys, "num_experts", "intermediate_size");
  softmax_router(keys, Renormalized::by_key);
  aux_loss(keys, 0.01);
  if (!keys.reads()) return;
  keys.model().qk_norm = model::QkNorm::whole;
  keys.model().norm_placement = model::NormPlacement::after;
}

}  // namespace

Family flex_olmo_family() {
  return {.model_type = "flex_olmo",
          .architecture = "FlexOlmoForCausalLM",
          .rules = joined({stream_rules(), norm_rules("post_attention_layernorm", "post_feedforward_layernorm"),
                           attention_rules(), qk_norm_rules(), expert_rules()}),
          .keys = flex_olmo_keys};
}

}  // namespace evenkeel::checkpoint
