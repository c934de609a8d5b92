// The balancing states of a model's routers, which stand in optimizer.safetensors beside the optimizer's moments.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/model_source.h"
#include "model/transformer.h"

namespace evenkeel::checkpoint {

// "router_state.J.NAME": NAME of the J-th MoE layer.
std::string router_state_name(size_t index, const std::string& name);
bool is_router_state(const std::string& tensor_name);

// Those of optimizer.safetensors in `folder`, a whole checkpoint's, one for each MoE layer of `model`, on the CPU.
// CheckpointError when one is absent or of another shape or type.
std::vector<ops::Params> read_router_states(const fs::path& folder, const model::Transformer& model);

// `biases`, [E] of each MoE layer in order or none at all, in place of those in `states`.
void put_biases(const std::vector<at::Tensor>& biases, std::vector<ops::Params>& states);

// Where the source is a Hugging Face folder that holds the biases of such routers as the model has, these are put into
// `states`, one for each MoE layer.
void take_biases(const ModelSource& source, const model::Transformer& model, std::vector<ops::Params>& states);

// Of what a MODEL argument stands for: a checkpoint's own; with a Hugging Face folder those of a run's beginning,
// with the biases that it holds.
std::vector<ops::Params> load_router_states(const ModelSource& source, const model::Transformer& model);

}  // namespace evenkeel::checkpoint
