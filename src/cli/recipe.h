// Recipes on the command line: a file, then --set and --seed above it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "core/config_tree.h"

namespace evenkeel::cli {

// seed: none is as the recipe says.
ConfigNode read_recipe(const std::string& path, const std::vector<std::string>& overrides,
                       std::optional<int64_t> seed = std::nullopt);

// Puts what a recipe may name into a command's help: routers, balance losses, schedules.
void list_choices(Options& options);

}  // namespace evenkeel::cli
