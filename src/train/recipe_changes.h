// Whether a resumed run still has the recipe that it began with.
#pragma once

#include <string>
#include <vector>

#include "core/json.h"

namespace evenkeel::train {

// Keys of two resolved recipes that differ, as "path: old -> new"; places, evaluation and the rhythm of
// checkpoints do not count: they do not bear on the parameters.
std::vector<std::string> changed_keys(const Json& before, const Json& after);

}  // namespace evenkeel::train
