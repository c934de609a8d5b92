// Every key of a recipe and of a study, from the lists of fields and the registries that read them; and docs/recipe.md,
// made of it.
#pragma once

#include <string>
#include <vector>

#include "core/config_keys.h"

namespace evenkeel::study {

std::vector<ConfigKey> recipe_keys();
std::string recipe_keys_markdown(const std::vector<ConfigKey>& keys);

}  // namespace evenkeel::study
