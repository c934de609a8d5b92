#include "model/layout.h"

namespace evenkeel::model {

std::vector<ParamSpec> parameter_table(const ModelConfig& config) {
  return parameter_table(config, layer_specs(config));
}

std::vector<ParamSpec> parameter_table(const ModelConfig& config, const std::vector<LayerSpec>& layers) {
  const int64_t H = config.d_model, V = config.vocab_size;
  std::vector<ParamSpec> table = {{"embedding.weight", {V, H}, Role::embedding}};
  for (size_t i = 0; i < layers.size(); ++i)
    for (auto spec : layers[i].parameters) {
      spec.name = "layers." + std::to_string(i) + "." + spec.name;
      table.push_back(std::move(spec));
    }
  table.push_back({"final_norm.weight", {H}, Role::norm});
  if (!config.tie_embeddings) table.push_back({"head.weight", {V, H}, Role::head});
  return table;
}

std::vector<int64_t> layers_with_experts(const ModelConfig& config) {
  std::vector<int64_t> out;
  for (int64_t layer = 0; layer < config.n_layers; ++layer)
    if (config.has_experts(layer)) out.push_back(layer);
  return out;
}

int64_t experts_in_all_layers(const ModelConfig& config) {
  return static_cast<int64_t>(config.moe_layers_below(config.n_layers)) * config.n_experts;
}

double experts_per_token(const ModelConfig& config) {
  if (!config.is_moe()) return 0;
  const double mean = moe::make_router(config.router_shape(), config.router)->traits().mean_experts;
  return mean > 0 ? mean : static_cast<double>(config.top_k);
}

ParameterCounts count_parameters(const ModelConfig& config) {
  ParameterCounts counts;
  for (const auto& spec : parameter_table(config)) {
    counts.total += spec.n_elements();
    counts.active += spec.n_active();
    if (spec.role == Role::embedding || spec.role == Role::head) continue;
    counts.total_without_embeddings += spec.n_elements();
    counts.active_without_embeddings += spec.n_active();
  }
  return counts;
}

double forward_flops_per_token(const ModelConfig& config, int64_t sequence_length) {
  double flops =
      2.0 * static_cast<double>(config.vocab_size * config.d_model);  // the head; the embedding is no product
  for (const auto& layer : layer_specs(config)) {
    flops += layer.attention->flops_per_token(sequence_length) + layer.ffn->flops_per_token(sequence_length);
    if (layer.extra != nullptr) flops += layer.extra->flops_per_token(sequence_length);
  }
  return flops;
}

int64_t cache_floats(const ModelConfig& config, int64_t n_tokens) {
  int64_t sum = 0;
  for (const auto& layer : layer_specs(config)) sum += layer.attention->cache_floats(n_tokens);
  return sum;
}

}  // namespace evenkeel::model
