// LlamaForCausalLM: dense, grouped queries, gated FFN.
#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {
namespace {

void llama_keys(HfKeys& keys) {
  decoder_keys(keys, {.norm_eps = 1e-6, .max_sequence_length = 2048});
  keys.size("intermediate_size", keys.model().d_ff);
  attention_bias(keys, "attention_bias", false);
  keys.flag("mlp_bias", keys.model().ffn_bias, false);
}

}  // namespace

Family llama_family() {
  return {.model_type = "llama",
          .architecture = "LlamaForCausalLM",
          .rules = joined({stream_rules(), norm_rules("input_layernorm", "post_attention_layernorm"), attention_rules(),
                           dense_rules()}),
          .keys = llama_keys,
          .derived = {"model.layers.{i}.self_attn.rotary_emb.inv_freq"}};
}

}  // namespace evenkeel::checkpoint
