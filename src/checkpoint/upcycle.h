// Sparse upcycling: a model whose feed-forward networks become experts, or that gets more experts, as a checkpoint.
#pragma once

#include <filesystem>

#include "checkpoint/upcycle_plan.h"

namespace evenkeel::checkpoint {

// Writes the checkpoint whole or not at all, tensor by tensor: in memory are one tensor of the parent, in fp32, and the
// one that is made of it, in the type that the parent stores it in. `parent`: as open_model gives it. Its optimizer's
// moments and its history stay behind; its tokenizer comes along, also where only the sets that it drew from name
// it, and so do the balancing states of its routers, where a new expert begins with the value of the one that it is a
// copy of.
void upcycle(const ModelSource& parent, const UpcyclePlan& plan, const UpcycleOptions& options,
             const std::filesystem::path& checkpoint);

}  // namespace evenkeel::checkpoint
