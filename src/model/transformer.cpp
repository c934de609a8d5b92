#include "model/transformer.h"

#include <algorithm>

#include <ATen/ops/embedding.h>

#include "model/layout.h"
#include "ops/norm.h"

namespace evenkeel::model {

Transformer::Transformer(ModelConfig config, std::optional<at::ScalarType> arithmetic)
    : config_(std::move(config)), arithmetic_(arithmetic), layers_(layer_specs(config_)) {
  for (const auto& layer : layers_) {
    if (const auto rotation = layer.attention->rotation()) needs_.rotations.push_back(*rotation);
    if (const auto sight = layer.attention->sight()) needs_.sights.push_back(*sight);
    if (router_ == nullptr) router_ = layer.ffn->router();
  }
  size_t first = 1;  // parameter of the layer; the embedding is before them
  for (const auto& layer : layers_) {
    const auto& parameters = layer.parameters;
    const auto matrix = std::find_if(parameters.begin(), parameters.end(),
                                     [](const ParamSpec& spec) { return spec.role == Role::router; });
    if (layer.ffn->router() != nullptr)
      router_matrices_.push_back(matrix == parameters.end()
                                     ? std::nullopt
                                     : std::optional(first + static_cast<size_t>(matrix - parameters.begin())));
    first += parameters.size();
  }
  for (auto& spec : parameter_table(config_, layers_)) names_.push_back(std::move(spec.name));
}

std::vector<ops::Params> Transformer::initial_router_states(uint64_t seed, const at::Tensor& token_counts) const {
  std::vector<ops::Params> states;
  for (size_t i = 0; i < layers_.size(); ++i)
    if (const auto* router = layers_[i].ffn->router())
      states.push_back(router->initial_state({static_cast<int64_t>(i), seed, token_counts}));
  return states;
}

at::Tensor Transformer::head(const ops::Params& params) const {
  return widened(params.at(config_.tie_embeddings ? "embedding.weight" : "head.weight"));
}

std::vector<at::Tensor> Transformer::for_pass(const LayerSpec& layer, PartTensors stored) const {
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < stored.size(); ++i)  // experts_ffn widens its own
    out.push_back(layer.parameters[i].name.starts_with("experts.") ? stored[i] : widened(stored[i]));
  return out;
}

ModelOutput Transformer::forward(const ops::Params& params, const std::vector<ops::Params>& router_states,
                                 const ModelInput& input) const {
  const auto tensors = params.in_order(names_);
  PartTensors rest(tensors);
  const auto take = [&](size_t n) {
    const auto taken = rest.first(n);
    rest = rest.subspan(n);
    return taken;
  };
  ModelOutput output;
  auto stream = widened(at::embedding(take(1)[0], input.tokens));  // [B, S, H]
  if (config_.embedding_multiplier != 1) stream = stream * config_.embedding_multiplier;
  const Pass pass(input, router_states, needs_, stream.scalar_type());
  for (const auto& layer : layers_) {
    const auto stored = take(layer.parameters.size());
    const auto widened_ones = arithmetic_ ? for_pass(layer, stored) : std::vector<at::Tensor>();
    auto result = block_forward(layer, arithmetic_ ? PartTensors(widened_ones) : stored, stream, pass);
    stream = std::move(result.stream);
    if (result.decision) output.routing.push_back(*std::move(result.decision));
  }
  output.hidden = ops::rms_norm(stream, widened(take(1)[0]), config_.norm_eps).view({-1, config_.d_model});
  if (config_.logits_scaling != 1) output.hidden = output.hidden / config_.logits_scaling;
  return output;
}

}  // namespace evenkeel::model
