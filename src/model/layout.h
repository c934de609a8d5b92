// The table of parameters of a model. Whatever allocates, initialises, counts or names parameters reads it.
#pragma once

#include <vector>

#include "model/block.h"

namespace evenkeel::model {

// In order of a pass; names of a layer's begin with layers.N.
std::vector<ParamSpec> parameter_table(const ModelConfig& config);
// Where the layers are there already.
std::vector<ParamSpec> parameter_table(const ModelConfig& config, const std::vector<LayerSpec>& layers);

std::vector<int64_t> layers_with_experts(const ModelConfig& config);  // ascending
int64_t experts_in_all_layers(const ModelConfig& config);             // routed ones; 0 for a dense model
// Routed experts that a token passes in training: K, or on average what its router says. 0 for dense models.
double experts_per_token(const ModelConfig& config);

struct ParameterCounts {
  int64_t total = 0, active = 0;                                        // active: what one token passes (on average)
  int64_t total_without_embeddings = 0, active_without_embeddings = 0;  // neither embedding nor head
};
ParameterCounts count_parameters(const ModelConfig& config);

// Of one token of a sequence of this length: its layers' (LayerPart::flops_per_token) and the head's; causal attention
// counts half.
double forward_flops_per_token(const ModelConfig& config, int64_t sequence_length);
inline double training_flops_per_token(const ModelConfig& config, int64_t sequence_length) {
  return 3 * forward_flops_per_token(config, sequence_length);
}

// What generation keeps of a sequence of n_tokens in all layers, in floats (Attention::cache_floats).
int64_t cache_floats(const ModelConfig& config, int64_t n_tokens);

}  // namespace evenkeel::model
