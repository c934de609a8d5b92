// What a model is, in a few lines, and what it costs.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/model_source.h"

namespace evenkeel::cli {

// Stream, attention, rotation, feed-forward networks, router; the last line names what is unusual, if anything is.
std::vector<std::string> architecture_lines(const model::ModelConfig& config);

// What both `plan` and `inspect` say of a model: the values of their keys "parameters" and "flops_per_token", and the
// line of the former.
Json parameters_json(const model::ModelConfig& config);
Json flops_json(const model::ModelConfig& config, int64_t sequence_length);
std::string parameters_line(const Json& parameters);

// {"parameters", "flops_per_token", "memory"}, as `plan` has them of a recipe; `memory` of the weights alone, of
// training with AdamW without activations, and of the cache of one sequence.
Json model_costs(const checkpoint::ModelSource& source);
std::vector<std::string> cost_lines(const Json& costs);

}  // namespace evenkeel::cli
