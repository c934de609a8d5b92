// Qwen3MoeForCausalLM (arXiv 2505.09388): queries and keys normalised by head; some layers may be dense.
#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {
namespace {

void qwen3_moe_keys(HfKeys& keys) {
  decoder_keys(keys, {.norm_eps = 1e-6, .max_sequence_length = 32768});
  attention_bias(keys, "attention_bias", false);
  expert_keys(keys, "num_experts", "moe_intermediate_size", 768);
  if (!keys.reads()) keys.put("num_local_experts", keys.model().n_experts);  // by which name transformers 5 reads it
  dense_listed_layers(keys);
  softmax_router(keys, Renormalized::by_key);
  aux_loss(keys, 0.001);
  sliding_window(keys, "use_sliding_window");
  if (keys.reads()) keys.model().qk_norm = model::QkNorm::per_head;
}

}  // namespace

Family qwen3_moe_family() {
  return {.model_type = "qwen3_moe",
          .architecture = "Qwen3MoeForCausalLM",
          .rules = joined({stream_rules(), norm_rules("input_layernorm", "post_attention_layernorm"), attention_rules(),
                           qk_norm_rules(), expert_rules(), dense_rules()}),
          .keys = qwen3_moe_keys};
}

}  // namespace evenkeel::checkpoint
