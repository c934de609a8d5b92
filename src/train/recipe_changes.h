// Whether a resumed run still has the recipe that it began with.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/json.h"
#include "train/config.h"

namespace evenkeel::train {

// Keys of two resolved recipes that differ, as "path: old -> new"; places, evaluation and the rhythm of
// checkpoints do not count: they do not bear on the parameters.
std::vector<std::string> changed_keys(const Json& before, const Json& after);

// The same between the resolved.json of a run and `config`; none where the run has no checkpoint yet. A key of the model
// that came after the run was begun has its default there.
std::vector<std::string> changes_since(const std::filesystem::path& run, const RunConfig& config);

// "a: 1 -> 2; b: 3 -> 4"
std::string joined(const std::vector<std::string>& changes);

// ConfigError naming the keys where there are changes.
void require_same_recipe(const std::filesystem::path& run, const RunConfig& config);

}  // namespace evenkeel::train
