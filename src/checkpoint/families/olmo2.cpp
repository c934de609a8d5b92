// Olmo2ForCausalLM (arXiv 2501.00656): dense, norms behind the branches, queries and keys normalised whole.
#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {
namespace {

void olmo2_keys(HfKeys& keys) {
  decoder_keys(keys, {.norm_eps = 1e-5, .max_sequence_length = 2048});
  keys.size("intermediate_size", keys.model().d_ff);
  attention_bias(keys, "attention_bias", false);
  if (!keys.reads()) return;
  keys.model().qk_norm = model::QkNorm::whole;
  keys.model().norm_placement = model::NormPlacement::after;
}

}  // namespace

Family olmo2_family() {
  return {.model_type = "olmo2",
          .architecture = "Olmo2ForCausalLM",
          .rules = joined({stream_rules(), norm_rules("post_attention_layernorm", "post_feedforward_layernorm"),
                           attention_rules(), qk_norm_rules(), dense_rules()}),
          .keys = olmo2_keys};
}

}  // namespace evenkeel::checkpoint
