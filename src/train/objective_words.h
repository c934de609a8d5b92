// What a phase of resolved.json is trained by, and its held-out sets are scored by, in words for lines and tables.
#pragma once

#include <string>

#include "core/json.h"

namespace evenkeel::train {

// The kind of an `objective`; "causal" where an earlier version wrote none.
std::string objective_kind(const Json* objective);
// Those of phase `index` of the list, each once in the order of its sources, then of what it replays: "ul2", or
// "causal, ul2" where a source has its own. What is replayed of an earlier phase keeps that phase's; a phase that a
// start brought along is not in the list, and adds none.
std::string objective_words(const Json& phases, size_t index);
// That of a held-out set of a phase.
std::string eval_objective(const Json& phase, const std::string& set);

}  // namespace evenkeel::train
