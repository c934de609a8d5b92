// A study file to its arms: the base recipe with each arm's changes, for each seed.
#pragma once

#include <string>
#include <vector>

#include "core/config_tree.h"
#include "train/config.h"

namespace evenkeel::study {

struct ArmPlan {
  std::string name, group;  // group: the name without the seed; "all" where a matrix has no other axis
  ConfigNode recipe;        // the merged recipe
  train::RunConfig config;
  std::string text;  // what recipe.toml of the arm's run will hold
};

struct StudyPlan {
  std::string title;
  std::vector<ArmPlan> arms;
};

// [study]: base (a recipe file; default: the rest of this file), title, seeds = [1, 2, 3], phases (names, in
// order; default all), and either arms = [{name, phases, KEYS...}] or matrix = {key.path = [values]}.
// Everything is checked before anything runs. ConfigError as for recipes.
StudyPlan read_study(const ConfigNode& root);

}  // namespace evenkeel::study
