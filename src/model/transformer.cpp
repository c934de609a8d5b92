#include "model/transformer.h"

#include <algorithm>

#include <ATen/ops/embedding.h>

#include "model/layout.h"
#include "ops/norm.h"

namespace evenkeel::model {

Transformer::Transformer(ModelConfig config) : config_(std::move(config)), layers_(layer_specs(config_)) {
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
  return params.at(config_.tie_embeddings ? "embedding.weight" : "head.weight");
}

at::Tensor Transformer::head(const Snapshot& values) const {
  if (values.stored == nullptr) return head(values.params);
  return values.stored->parameter(config_.tie_embeddings ? 0 : names_.size() - 1);
}

at::Tensor Transformer::embedded(const at::Tensor& table, const ModelInput& input) const {
  const auto rows = at::embedding(table, input.tokens);
  return config_.embedding_multiplier == 1 ? rows : rows * config_.embedding_multiplier;
}

at::Tensor Transformer::final_hidden(const at::Tensor& stream, const at::Tensor& norm) const {
  const auto hidden = ops::rms_norm(stream, norm, config_.norm_eps).view({-1, config_.d_model});
  return config_.logits_scaling == 1 ? hidden : hidden / config_.logits_scaling;
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
  auto stream = embedded(take(1)[0], input);
  const Pass pass(input, router_states, needs_, stream.scalar_type());
  for (const auto& layer : layers_) {
    auto result = block_forward(layer, take(layer.parameters.size()), stream, pass);
    stream = std::move(result.stream);
    if (result.decision) output.routing.push_back(*std::move(result.decision));
  }
  output.hidden = final_hidden(stream, take(1)[0]);
  return output;
}

// ---- weights that are not in memory ----

namespace {

// The parameters of a layer, the first of which stands at `first` of the table; those of routed experts undefined.
std::vector<at::Tensor> layer_tensors(const StoredWeights& weights, const LayerSpec& layer, size_t first) {
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < layer.parameters.size(); ++i)
    out.push_back(layer.parameters[i].is_of_experts() ? at::Tensor() : weights.parameter(first + i));
  return out;
}

ExpertLoader loader_of(const StoredWeights& weights, const LayerSpec& layer, size_t first) {
  return [&weights, &layer, first](const std::string& name, int64_t expert) {
    const auto& specs = layer.parameters;
    const auto found =
        std::find_if(specs.begin(), specs.end(), [&](const ParamSpec& spec) { return spec.name == name; });
    return weights.expert(first + static_cast<size_t>(found - specs.begin()), expert);
  };
}

moe::RoutingDecision for_observers(moe::RoutingDecision decision) {
  for (auto* tensor : {&decision.expert_input, &decision.plan, &decision.balance_statistics}) *tensor = at::Tensor();
  return decision;
}

}  // namespace

std::vector<ModelOutput> Transformer::forward_stored(const Snapshot& values, const std::vector<ModelInput>& inputs,
                                                     const std::function<void(int64_t n_done)>& progress) const {
  const auto& weights = *values.stored;
  int64_t n_done = 0;
  std::vector<at::Tensor> streams;
  for (const auto table = weights.parameter(0); const auto& input : inputs) streams.push_back(embedded(table, input));
  std::vector<ModelOutput> outputs(inputs.size());
  size_t first = 1;  // parameter of the layer
  for (const auto& layer : layers_) {
    const auto tensors = layer_tensors(weights, layer, first);
    const ExpertLoader load = loader_of(weights, layer, first);
    for (size_t i = 0; i < inputs.size(); ++i) {
      // Made anew for each layer: the masks of all inputs would take more than their streams.
      Pass pass(inputs[i], values.router_states, needs_, streams[i].scalar_type());
      if (layer.ffn->router() != nullptr) pass.set_expert_loader(&load);
      auto result = block_forward(layer, tensors, streams[i], pass);
      streams[i] = std::move(result.stream);
      if (result.decision) outputs[i].routing.push_back(for_observers(*std::move(result.decision)));
      if (progress) progress(++n_done);
    }
    first += layer.parameters.size();
  }
  const auto norm = weights.parameter(first);
  for (size_t i = 0; i < inputs.size(); ++i) outputs[i].hidden = final_hidden(std::exchange(streams[i], {}), norm);
  return outputs;
}

double Transformer::bytes_between_layers() const {
  constexpr double kFp32 = 4;
  double floats = static_cast<double>(config_.d_model);
  for (const auto& layer : layers_) floats += layer.ffn->activations().decision;
  return kFp32 * floats;
}

}  // namespace evenkeel::model
