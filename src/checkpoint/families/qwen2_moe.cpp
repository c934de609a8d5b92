// Qwen2MoeForCausalLM (Qwen1.5-MoE, arXiv 2407.10671): a shared expert behind a gate beside the routed ones; biases of
// queries, keys and values; some layers may be dense.
#include "checkpoint/families/family.h"
#include "core/errors.h"

namespace evenkeel::checkpoint {
namespace {

// The window of the layers that `layer_types` names.
void read_windows(HfKeys& keys) {
  const HfConfig& config = keys.config();
  auto& attention = keys.form().attention;
  const int64_t n_layers = keys.model().n_layers;
  config.find("max_window_layers");  // counts for nothing beside layer_types
  const bool is_used = config.flag("use_sliding_window", false);
  const Json* types = config.find("layer_types");
  const int64_t window = is_used ? config.count("sliding_window", 0) : (config.find("sliding_window"), 0);
  attention["window"] = int64_t{0};
  if (types == nullptr) {
    if (is_used)
      config.refuse("use_sliding_window", config.find("use_sliding_window"),
                    "layer_types beside it: versions of transformers disagree on the layers that have the window");
    return;
  }
  if (!types->is_array() || static_cast<int64_t>(types->size()) != n_layers)
    config.refuse("layer_types", types, "a list of " + std::to_string(n_layers) + " layers");
  std::vector<int64_t> layers;
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    const Json& type = types->at(static_cast<size_t>(layer));
    const bool is_windowed = type == Json("sliding_attention");
    if (!is_windowed && type != Json("full_attention"))
      config.refuse("layer_types", &type, "\"full_attention\" or \"sliding_attention\"");
    if (is_windowed) layers.push_back(layer);
  }
  if (layers.empty()) return;
  if (window == 0) config.refuse("layer_types", types, "no sliding_attention: there is no sliding_window");
  attention["window"] = window;
  if (static_cast<int64_t>(layers.size()) < n_layers)
    attention["window_layers"] = to_json(model::LayerSet{0, std::move(layers)});
}

void window_keys(HfKeys& keys) {
  if (keys.reads()) return read_windows(keys);
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
