// What all layers of a forward pass share.
#pragma once

#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/input.h"
#include "ops/params.h"
#include "ops/rotary.h"

namespace evenkeel::model {

// Made once a pass. It owns what it holds, so that a layer may be computed again in the backward pass.
class Pass {
 public:
  // `rotations`: those that the layers ask for. The mask and the rotary tables have the type `dtype`.
  Pass(ModelInput input, std::vector<ops::Params> router_states, const std::vector<ops::Rotation>& rotations,
       at::ScalarType dtype);
  const ModelInput& input() const { return input_; }
  const ops::Params& router_state(size_t moe_layer) const { return router_states_.at(moe_layer); }
  const at::Tensor& mask() const {
    return mask_;
  }  // [B, 1, S, S] as ops::causal_attention takes it; undefined = plainly causal
  const ops::RotaryTable& rotary(const ops::Rotation& rotation) const;  // std::logic_error when it was not asked for

 private:
  ModelInput input_;
  std::vector<ops::Params> router_states_;
  at::Tensor mask_;
  std::vector<std::pair<ops::Rotation, ops::RotaryTable>> tables_;  // one for each that differs
};

}  // namespace evenkeel::model
