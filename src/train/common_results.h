// What can be compared of results.json that two versions of evenkeel write.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "core/json.h"

namespace evenkeel::train {

// Both documents, cut to what both have: keys, and the columns of tables by their names, in the order of the second.
// Texts are each version's own: headlines, definitions, and of a table its source, its units and the sentences of the
// column `what`.
std::pair<Json, Json> common_results(const Json& got, const Json& needed);

// Where `got` first differs from `needed`, as first_difference says it; of results that another version wrote
// (`is_of_this_version` false), in what both have.
std::optional<std::string> results_difference(const Json& got, const Json& needed, bool is_of_this_version);

}  // namespace evenkeel::train
