// The decoder: embedding, layers, final norm.
#pragma once

#include <vector>

#include "model/block.h"

namespace evenkeel::model {

struct ModelOutput {
  at::Tensor hidden;  // [B*S, H] after the final norm, divided by logits_scaling: times the head they are the logits
  std::vector<moe::RoutingDecision> routing;  // one for each MoE layer, ascending
};

// The values of a model.
struct Snapshot {
  const ops::Params& params;
  const std::vector<ops::Params>& router_states;  // one for each MoE layer
};

// Holds no parameters: they are values that the caller owns. Router states are per MoE layer.
class Transformer {
 public:
  // `arithmetic`: parameters of another type are taken into this one as a pass uses them, without gradient: what is in
  // a layer for as long as the layer's pass takes, routed experts one at a time. Nothing: all are of one type.
  explicit Transformer(ModelConfig config, std::optional<at::ScalarType> arithmetic = {});
  const ModelConfig& config() const { return config_; }
  ModelOutput forward(const ops::Params& params, const std::vector<ops::Params>& router_states,
                      const ModelInput& input) const;
  at::Tensor head(const ops::Params& params) const;  // [V, H], in the type of the arithmetic
  // The place of the matrix of its router among the parameters; none where the router has no matrix.
  std::optional<size_t> router_matrix(size_t moe_layer) const { return router_matrices_.at(moe_layer); }
  const moe::Router* router() const { return router_; }  // of the first MoE layer; nullptr for dense models
  // One for each MoE layer, as a run begins (StateInput).
  std::vector<ops::Params> initial_router_states(uint64_t seed = 0, const at::Tensor& token_counts = {}) const;

 private:
  at::Tensor widened(const at::Tensor& parameter) const { return arithmetic_ ? parameter.to(*arithmetic_) : parameter; }
  // A layer's parameters as its pass takes them.
  std::vector<at::Tensor> for_pass(const LayerSpec& layer, PartTensors stored) const;

  ModelConfig config_;
  std::optional<at::ScalarType> arithmetic_;
  std::vector<LayerSpec> layers_;
  PassNeeds needs_;                 // of the layers
  std::vector<std::string> names_;  // of the parameters, as parameter_table lists them
  std::vector<std::optional<size_t>> router_matrices_;
  const moe::Router* router_ = nullptr;
};

}  // namespace evenkeel::model
