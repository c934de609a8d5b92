// Recipes on the command line: a file, then --set and --seed above it.
#pragma once

#include <string>
#include <vector>

#include "core/config_tree.h"

namespace evenkeel::cli {

// seed < 0: as the recipe says.
ConfigNode read_recipe(const std::string& path, const std::vector<std::string>& overrides, int64_t seed);

}  // namespace evenkeel::cli
