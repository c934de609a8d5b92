// The decoder: embedding, pre-norm blocks (attention, then a dense FFN or experts), final norm.
#pragma once

#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/config.h"
#include "moe/moe_layer.h"
#include "ops/norm.h"
#include "ops/params.h"

namespace evenkeel::model {

struct ModelInput {
  at::Tensor tokens;        // [B, S] i64
  at::Tensor is_padding;    // [B, S] bool, true = ignore; undefined when there is none
  at::Tensor document_ids;  // [B, S] when attention and positions stop at document borders; else undefined
  moe::Mode mode = moe::Mode::train;
  int64_t step = 0;                    // for messages
  uint64_t seed = 0;                   // of random routers
  std::vector<at::Tensor> step_plans;  // RouterInput::step_plan of each MoE layer; empty without
};

struct ModelOutput {
  at::Tensor hidden;                          // [B*S, H] after the final norm
  std::vector<moe::RoutingDecision> routing;  // one for each MoE layer, ascending
};

// Holds no parameters: they are values that the caller owns. Router states are per MoE layer.
class Transformer {
 public:
  explicit Transformer(ModelConfig config);
  const ModelConfig& config() const { return config_; }
  ModelOutput forward(const ops::Params& params, const std::vector<ops::Params>& router_states, const ModelInput& input) const;
  const at::Tensor& head(const ops::Params& params) const;     // [V, H]
  const moe::Router* router() const { return router_.get(); }  // nullptr for dense models
  // One for each MoE layer, as a run begins (StateInput).
  std::vector<ops::Params> initial_router_states(uint64_t seed = 0, const at::Tensor& token_counts = {}) const;

 private:
  // Where each token stands: the same for all layers of a pass.
  struct Positions {
    ops::RotaryTable rotary;
    at::Tensor document_ids;  // ModelInput::document_ids
  };
  Positions positions_of(const ModelInput& input, at::ScalarType dtype) const;
  at::Tensor attention(const ops::Params& params, const std::string& prefix, const at::Tensor& x, const Positions& positions) const;
  ModelConfig config_;
  std::unique_ptr<moe::Router> router_;
  ops::Activation activation_;
};

}  // namespace evenkeel::model
