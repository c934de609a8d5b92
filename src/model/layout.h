// The table of parameters of a model. Whatever allocates, initialises, counts or names parameters reads it.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"

namespace evenkeel::model {

enum class Role { embedding,
                  head,
                  norm,
                  attention_in,
                  attention_out,
                  ffn_in,
                  ffn_out,
                  router };

struct ParamSpec {
  std::string name;
  std::vector<int64_t> shape;
  Role role;
  bool is_routed = false;  // of routed experts: K of E are active for a token
  int64_t n_elements() const;
};
std::vector<ParamSpec> parameter_table(const ModelConfig& config);

// Routed experts that a token passes in training: K, or on average what its router says. 0 for dense models.
double experts_per_token(const ModelConfig& config);

struct ParameterCounts {
  int64_t total = 0, active = 0;                                        // active: what one token passes (on average)
  int64_t total_without_embeddings = 0, active_without_embeddings = 0;  // neither embedding nor head
};
ParameterCounts count_parameters(const ModelConfig& config);

// Matrix products and attention of one token of a sequence of this length, 2 FLOPs a multiply-add; causal
// attention counts half; norms, rotation, activations and softmaxes are not counted.
double forward_flops_per_token(const ModelConfig& config, int64_t sequence_length);
inline double training_flops_per_token(const ModelConfig& config, int64_t sequence_length) {
  return 3 * forward_flops_per_token(config, sequence_length);
}

}  // namespace evenkeel::model
