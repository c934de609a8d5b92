// DeepSeek's three: v1 (DeepSeekMoE, arXiv 2401.06066; its code lies in the folder), V2 (arXiv 2405.04434) with latent
// attention and groups of experts, V3 (arXiv 2412.19437) with a bias that balances.
#include "checkpoint/families/family.h"

namespace evenkeel::checkpoint {
namespace {

constexpr const char* kCodesDisagree =
    "false: DeepSeek's own code divides the weights by their sum then, transformers does not";

// Layer i has experts where i is a multiple of it too.
void layer_frequency(HfKeys& keys) {
  if (!keys.reads()) return keys.put("moe_layer_freq", 1);
  auto& model = keys.model();
  const int64_t frequency = keys.config().size("moe_layer_freq", 1);
  if (frequency == 1) return;
  std::vector<int64_t> layers;
  for (const int64_t layer : layers_with_experts(model))
    if (layer % frequency == 0) layers.push_back(layer);
  model.moe_layers = {0, std::move(layers)};
}

void v1_keys(HfKeys& keys) {
  decoder_keys(keys, {.norm_eps = 1e-6, .max_sequence_length = 2048, .has_head_dim = false});
  attention_bias(keys, "attention_bias", false);
  expert_keys(keys, "n_routed_experts", "moe_intermediate_size", 1407);
  dense_first_layers(keys, 0);
  layer_frequency(keys);
  shared_by_count(keys, 0);
  keys.only("scoring_func", "softmax");
  softmax_router(keys, Renormalized::by_key_above_one);
  deepseek_aux_loss(keys, 0.001);
}

// greedy, or within groups by their best expert.
void v2_router(HfKeys& keys) {
  auto& router = keys.form().router;
  keys.only("scoring_func", "softmax");
  keys.number("routed_scaling_factor", router["scaling"], 1);
  if (!keys.reads()) {
    const bool has_groups = router.find("n_groups") != nullptr && router.at("n_groups").as_int() > 1;
    keys.put("norm_topk_prob", false);
    keys.put("topk_method", has_groups ? "group_limited_greedy" : "greedy");
    keys.put("n_group", has_groups ? router.at("n_groups") : Json());
    return keys.put("topk_group", has_groups ? router.at("groups_per_token") : Json());
  }
  const HfConfig& config = keys.config();
  router["kind"] = "top_k";
  router["score"] = "softmax_pre";
  if (config.flag("norm_topk_prob", false))
    config.refuse("norm_topk_prob", config.find("norm_topk_prob"), kCodesDisagree);
  const std::string method = config.text("topk_method", "greedy");
  if (method != "greedy" && method != "group_limited_greedy")
    config.refuse("topk_method", config.find("topk_method"), "\"greedy\" or \"group_limited_greedy\"");
  const int64_t n_groups = config.size_or_null("n_group", 1), chosen = config.size_or_null("topk_group", 1);
  if (method == "greedy" || n_groups == 1) return;  // the groups count for nothing
  router["n_groups"] = n_groups;
  router["groups_per_token"] = chosen;
  router["group_mask"] = "zero";
}

void latent_decoder(HfKeys& keys, int64_t max_sequence_length) {
  if (keys.reads()) keys.form().attention["kind"] = "latent";
  decoder_keys(keys, {.norm_eps = 1e-6, .max_sequence_length = max_sequence_length});
  if (keys.form().attention.at("kind") == Json("latent")) latent_attention(keys);
}

void v2_keys(HfKeys& keys) {
  latent_decoder(keys, 2048);
  expert_keys(keys, "n_routed_experts", "moe_intermediate_size");
  dense_first_layers(keys, 0);
  keys.only("moe_layer_freq", 1);
  keys.only("mlp_bias", false);
  shared_by_count(keys, 2);
  v2_router(keys);
  deepseek_aux_loss(keys, 0);
  if (keys.reads()) keys.model().rope_pairs = ops::RotaryPairs::interleaved;
}

void v3_keys(HfKeys& keys) {
  auto& model = keys.model();
  latent_decoder(keys, 4096);
  expert_keys(keys, "n_routed_experts", "moe_intermediate_size", 2048);
  dense_first_layers(keys, 3);
  keys.only("moe_layer_freq", 1);
  shared_by_count(keys, 1);
  sigmoid_router(keys, 8, 4, 2.5);
  deepseek_aux_loss(keys, 0);
  if (!keys.reads()) {
    keys.put("num_nextn_predict_layers", 0);
    return keys.put("rope_interleave", model.rope_pairs == ops::RotaryPairs::interleaved);
  }
  keys.config().count("num_nextn_predict_layers", 0);
  model.rope_pairs =
      keys.config().flag("rope_interleave", true) ? ops::RotaryPairs::interleaved : ops::RotaryPairs::halves;
}

Rules latent_rules() {
  return joined({stream_rules(), norm_rules("input_layernorm", "post_attention_layernorm"), latent_attention_rules(),
                 expert_rules(), shared_rules("mlp.shared_experts."), dense_rules()});
}

}  // namespace

Family deepseek_family() {
  return {.model_type = "deepseek",
          .architecture = "DeepseekForCausalLM",
          .rules = joined({stream_rules(), norm_rules("input_layernorm", "post_attention_layernorm"), attention_rules(),
                           expert_rules(), shared_rules("mlp.shared_experts."), dense_rules()}),
          .keys = v1_keys,
          .derived = {"model.layers.{i}.self_attn.rotary_emb.inv_freq"},
          .is_remote = true};
}

Family deepseek_v2_family() {
  return {.model_type = "deepseek_v2",
          .architecture = "DeepseekV2ForCausalLM",
          .rules = latent_rules(),
          .keys = v2_keys,
          .derived = {"model.layers.{i}.self_attn.rotary_emb.inv_freq"},
          .empty_shared = empty_shared_experts};
}

Family deepseek_v3_family() {
  return {.model_type = "deepseek_v3",
          .architecture = "DeepseekV3ForCausalLM",
          .rules = joined({latent_rules(), bias_rules()}),
          .keys = v3_keys,
          .has_extra_layers = true,
          .empty_shared = empty_shared_experts};
}

}  // namespace evenkeel::checkpoint
