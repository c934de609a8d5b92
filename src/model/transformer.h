// The decoder: embedding, layers, final norm.
#pragma once

#include <functional>
#include <vector>

#include "model/block.h"
#include "model/stored_weights.h"

namespace evenkeel::model {

struct ModelOutput {
  at::Tensor hidden;  // [B*S, H] after the final norm, divided by logits_scaling: times the head they are the logits
  std::vector<moe::RoutingDecision> routing;  // one for each MoE layer, ascending
};

// The values of a model.
struct Snapshot {
  const ops::Params& params;                      // empty where they are stored
  const std::vector<ops::Params>& router_states;  // one for each MoE layer
  const StoredWeights* stored = nullptr;
  double group_bytes = 0;  // that batches may take between the layers of stored weights (BatchPasses)
  at::Device device() const { return stored != nullptr ? stored->device() : params.at("embedding.weight").device(); }
};

// Holds no parameters: they are values that the caller owns. Router states are per MoE layer.
class Transformer {
 public:
  explicit Transformer(ModelConfig config);
  const ModelConfig& config() const { return config_; }
  ModelOutput forward(const ops::Params& params, const std::vector<ops::Params>& router_states,
                      const ModelInput& input) const;
  // The same of several inputs, one output for each, by weights that are not in memory and without gradient: a layer
  // sees every input before the next is made, of its routed experts one on each thread. Input by input it is the
  // arithmetic of `forward`, to the same bits; decisions come without what the layer alone uses (expert_input, plan,
  // balance_statistics). `progress` gets how many times a layer has seen an input; may be empty.
  std::vector<ModelOutput> forward_stored(const Snapshot& values, const std::vector<ModelInput>& inputs,
                                          const std::function<void(int64_t n_done)>& progress = {}) const;
  // Bytes of a token that forward_stored keeps from layer to layer: its stream, and the decisions on it.
  double bytes_between_layers() const;
  at::Tensor head(const ops::Params& params) const;  // [V, H]
  at::Tensor head(const Snapshot& values) const;     // of stored weights made anew
  // The place of the matrix of its router among the parameters; none where the router has no matrix.
  std::optional<size_t> router_matrix(size_t moe_layer) const { return router_matrices_.at(moe_layer); }
  const moe::Router* router() const { return router_; }  // of the first MoE layer; nullptr for dense models
  // One for each MoE layer, as a run begins (StateInput).
  std::vector<ops::Params> initial_router_states(uint64_t seed = 0, const at::Tensor& token_counts = {}) const;

 private:
  at::Tensor embedded(const at::Tensor& table, const ModelInput& input) const;      // [B, S, H]
  at::Tensor final_hidden(const at::Tensor& stream, const at::Tensor& norm) const;  // ModelOutput::hidden

  ModelConfig config_;
  std::vector<LayerSpec> layers_;
  PassNeeds needs_;                 // of the layers
  std::vector<std::string> names_;  // of the parameters, as parameter_table lists them
  std::vector<std::optional<size_t>> router_matrices_;
  const moe::Router* router_ = nullptr;
};

}  // namespace evenkeel::model
