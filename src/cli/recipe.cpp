#include "cli/recipe.h"

namespace evenkeel::cli {

ConfigNode read_recipe(const std::string& path, const std::vector<std::string>& overrides, int64_t seed) {
  ConfigNode root = read_toml(path);
  for (const auto& assignment : overrides) apply_override(root, assignment);
  if (seed >= 0) apply_override(root, "train.seed=" + std::to_string(seed));
  return root;
}

}  // namespace evenkeel::cli
