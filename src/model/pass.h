// What all layers of a forward pass share.
#pragma once

#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "model/input.h"
#include "ops/attention.h"
#include "ops/params.h"
#include "ops/rotary.h"

namespace evenkeel::model {

// What the layers of a model ask of a pass. The same may be there more than once.
struct PassNeeds {
  std::vector<ops::Rotation> rotations;
  std::vector<ops::Sight> sights;
};

// Made once a pass: one rotary table for each rotation that differs, one mask for each sight. It owns what it holds, so
// that a layer may be computed again in the backward pass.
class Pass {
 public:
  // Masks and rotary tables have the type `dtype`.
  Pass(ModelInput input, std::vector<ops::Params> router_states, const PassNeeds& needs, at::ScalarType dtype);
  const ModelInput& input() const { return input_; }
  const ops::Params& router_state(size_t moe_layer) const { return router_states_.at(moe_layer); }
  // As ops::causal_attention takes it; undefined = plainly causal. Both throw std::logic_error for what no layer asked
  // for.
  const at::Tensor& mask(const ops::Sight& sight) const;
  const ops::RotaryTable& rotary(const ops::Rotation& rotation) const;

 private:
  ModelInput input_;
  std::vector<ops::Params> router_states_;
  std::vector<std::pair<ops::Rotation, ops::RotaryTable>> tables_;
  std::vector<std::pair<ops::Sight, at::Tensor>> masks_;
};

}  // namespace evenkeel::model
