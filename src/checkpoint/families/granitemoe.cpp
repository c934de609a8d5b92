// GraniteMoeForCausalLM and GraniteMoeSharedForCausalLM (arXiv 2408.13359): multipliers on embeddings, branches and
// logits, a scale of the scores of its own, a softmax over the selected logits; the second with shared experts.
#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {
namespace {

void granite_keys(HfKeys& keys) {
  auto& model = keys.model();
  auto& form = keys.form();
  decoder_keys(keys, {.norm_eps = 1e-6, .max_sequence_length = 2048});
  attention_bias(keys, "attention_bias", false);
  keys.number("embedding_multiplier", model.embedding_multiplier, 1);
  keys.number("residual_multiplier", model.residual_multiplier, 1);
  keys.number("logits_scaling", model.logits_scaling, 1);
  expert_keys(keys, "num_local_experts", "intermediate_size");
  aux_loss(keys, 0.001);
  if (keys.reads()) {
    form.attention["scale"] = keys.config().number("attention_multiplier", 1);
    form.router["kind"] = "top_k";
    form.router["score"] = "softmax_post";
    return divide_a_single_weight(keys);
  }
  const Json* scale = form.attention.find("scale");
  const bool is_usual = scale == nullptr || *scale == Json(0.0);
  keys.put("attention_multiplier", is_usual ? Json(1 / std::sqrt(static_cast<double>(model.head_dim))) : *scale);
}

void granite_shared_keys(HfKeys& keys) {
  granite_keys(keys);
  auto& model = keys.model();
  if (!keys.reads()) return keys.put("shared_intermediate_size", model.shared_width());
  model.d_shared = keys.config().count("shared_intermediate_size", 0);
  model.n_shared_experts = model.d_shared > 0 ? 1 : 0;
}

Rules granite_rules() {
  const std::string moe = "model.layers.{i}.block_sparse_moe.";
  Rules experts = {{"layers.{i}.router.weight", {{moe + "router.layer.weight"}}},
                   {"layers.{i}.experts.gate_up", {{moe + "input_linear.weight"}}},
                   {"layers.{i}.experts.down", {{moe + "output_linear.weight"}}},
                   {"layers.{i}.router.weight", {{moe + "router.weight"}}},
                   {"layers.{i}.experts.gate_up", {{moe + "experts.gate_up_proj"}}},
                   {"layers.{i}.experts.down", {{moe + "experts.down_proj"}}}};
  return joined({stream_rules(), norm_rules("input_layernorm", "post_attention_layernorm"), attention_rules(),
                 std::move(experts)});
}

}  // namespace

Family granitemoe_family() {
  return {.model_type = "granitemoe",
          .architecture = "GraniteMoeForCausalLM",
          .rules = granite_rules(),
          .keys = granite_keys};
}

Family granitemoeshared_family() {
  const std::string shared = "model.layers.{i}.shared_mlp.";
  return {.model_type = "granitemoeshared",
          .architecture = "GraniteMoeSharedForCausalLM",
          .rules = joined({granite_rules(),
                           {{"layers.{i}.shared.gate_up.weight", {{shared + "input_linear.weight"}}},
                            {"layers.{i}.shared.down.weight", {{shared + "output_linear.weight"}}}}}),
          .keys = granite_shared_keys};
}

}  // namespace evenkeel::checkpoint
