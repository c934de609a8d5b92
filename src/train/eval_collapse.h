// Routers whose collapse an evaluation shows, be it that the text is of another kind than that of the training steps.
#pragma once

#include <vector>

#include "record/run_lines.h"

namespace evenkeel::train {

// One for each layer of a held-out set's routing that has collapsed there: same_experts and one_expert as find_collapse
// has them of a step's counts, else unused_experts, where more than half of the experts get no token. Empty of sets so
// small that a balanced router would show that too: fewer than Alarm::kFewestTokens tokens, or eight assignments an
// expert.
std::vector<record::Alarm> find_eval_collapse(const record::SetResult& result, int64_t n_experts, int64_t top_k);

}  // namespace evenkeel::train
