// What all layers of a forward pass share.
#pragma once

#include <functional>
#include <string>
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

// Of a layer whose routed experts are not in memory: its parameter of this name ("experts.down") of one of them.
using ExpertLoader = std::function<at::Tensor(const std::string& name, int64_t expert)>;

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
  // Of the layer that is computed next; its parameters of experts are undefined then. nullptr: they are in memory.
  void set_expert_loader(const ExpertLoader* loader) { expert_loader_ = loader; }
  const ExpertLoader* expert_loader() const { return expert_loader_; }

 private:
  ModelInput input_;
  std::vector<ops::Params> router_states_;
  std::vector<std::pair<ops::Rotation, ops::RotaryTable>> tables_;
  std::vector<std::pair<ops::Sight, at::Tensor>> masks_;
  const ExpertLoader* expert_loader_ = nullptr;
};

}  // namespace evenkeel::model
