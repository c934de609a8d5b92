// What of a run's resolved.json its results are made of, beside [model].
#pragma once

#include <string>

#include "core/json.h"

namespace evenkeel::train {

// DataError "PATH: got null as 'steps'; need an integer" where one of these keys is missing or of another kind, or its
// number cannot be.
void require_resolved_recipe(const Json& resolved, const std::string& path);

}  // namespace evenkeel::train
