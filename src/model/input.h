// What goes into a forward pass.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "data/batch.h"
#include "moe/router.h"

namespace evenkeel::model {

struct ModelInput {
  at::Tensor tokens;  // this and the next three as in data::Batch
  at::Tensor is_padding = {};
  at::Tensor document_ids = {};
  at::Tensor is_prefix = {};
  moe::Mode mode = moe::Mode::train;
  int64_t step = 0;                         // for messages
  uint64_t seed = 0;                        // of random routers
  std::vector<at::Tensor> step_plans = {};  // RouterInput::step_plan of each MoE layer; empty without
};
// What the model sees of a batch; mode, step, seed and plans are the caller's.
ModelInput input_of(const data::Batch& batch);

}  // namespace evenkeel::model
