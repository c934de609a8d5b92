// Qwen2MoeForCausalLM (Qwen1.5-MoE, arXiv 2407.10671): a shared expert behind a gate beside the routed ones; biases of
// queries, keys and values; some layers may be dense.
#include "checkpoint/families/family.h"
#include "core/errors.h"

namespace evenkeel::checkpoint {
namespace {

void read_window(HfKeys& keys) {
  const HfConfig& config = keys.config();
  const bool is_used = config.flag("use_sliding_window", false);
  if (is_used && config.find("layer_types") == nullptr)
    config.refuse("use_sliding_window", config.find("use_sliding_window"),
                  "layer_types beside it: versions of transformers disagree on the layers that have the window");
  const int64_t window = is_used ? config.count("sliding_window", 0) : (config.find("sliding_window"), 0);
  read_listed_window(keys, window, {});
}

void window_keys(HfKeys& keys) {
  if (keys.reads()) return read_window(keys);
  sliding_window(keys, "use_sliding_window");
  const auto& model = keys.model();
  const auto& attention = keys.form().attention;
  if (attention.at("window").as_int() == 0) return;
  model::LayerSet windowed;
  read_value(config_from_json(attention.at("window_layers"), ""), "", windowed);
  Json types = Json::array();
  for (int64_t layer = 0; layer < model.n_layers; ++layer)
    types.push_back(windowed.contains(layer) ? "sliding_attention" : "full_attention");
  keys.put("layer_types", std::move(types));
}

void qwen2_moe_keys(HfKeys& keys) {
  auto& model = keys.model();
  decoder_keys(keys, {.norm_eps = 1e-6, .max_sequence_length = 32768});
  attention_bias(keys, "qkv_bias", true, /*has_out_bias=*/false);
  expert_keys(keys, "num_experts", "moe_intermediate_size", 1408);
  dense_listed_layers(keys);
  softmax_router(keys, Renormalized::by_key);
  aux_loss(keys, 0.001);
  window_keys(keys);
  if (!keys.reads()) return keys.put("shared_expert_intermediate_size", model.shared_width());
  model.n_shared_experts = 1;
  model.d_shared = keys.config().size("shared_expert_intermediate_size", 5632);
  model.shared_gate = true;
}

}  // namespace

Family qwen2_moe_family() {
  Rules gate = {{"layers.{i}.shared.gate.weight", {{"model.layers.{i}.mlp.shared_expert_gate.weight"}}}};
  return {.model_type = "qwen2_moe",
          .architecture = "Qwen2MoeForCausalLM",
          .rules = joined({stream_rules(), norm_rules("input_layernorm", "post_attention_layernorm"), attention_rules(),
                           expert_rules(), shared_rules("mlp.shared_expert."), std::move(gate), dense_rules()}),
          .keys = qwen2_moe_keys};
}

}  // namespace evenkeel::checkpoint
