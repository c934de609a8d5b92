// A study file to its arms: the base recipe with each arm's changes, for each seed.
#pragma once

#include <string>
#include <vector>

#include "core/config_keys.h"
#include "core/table.h"
#include "train/config.h"

namespace evenkeel::study {

struct ArmPlan {
  std::string name, group;  // group: the name without the seed; "all" where a matrix has no other axis
  ConfigNode recipe;        // the merged recipe
  train::RunConfig config;
  std::string text;     // what recipe.toml of the arm's run will hold
  std::string warning;  // of what the arm keeps without saying so; empty where all is said
};

// [study] of a study file. The arms' and the matrix's keys are those of a recipe.
struct StudyTable {
  std::optional<train::RecipePath> base;
  std::string title;
  std::vector<int64_t> seeds;
  ConfigNode phases, arms, matrix;
  static void visit_fields(auto& study, auto&& field) {
    field("base", study.base, {"recipe file that the arms change", "", "the rest of the study file"});
    field("title", study.title, {"title of the page", "", "none"});
    field("seeds", study.seeds, {"each arm is run with each of these as train.seed", "", "the recipe's seed"});
    field("phases", study.phases, {"names of the phases to run, in order; an arm may name its own", "", "all"});
    field(
        "arms", study.arms,
        {"a table for each arm: its name and the keys that it changes, phases by name", "", "required without matrix"});
    field("matrix", study.matrix,
          {"key = [values]: an arm for each combination, named after its values", "", "required without arms"});
  }
};

struct StudyPlan {
  std::string title;
  std::vector<ArmPlan> arms;
};

// A study file has a [study] with either arms = [{name, phases, KEYS...}] or matrix = {key.path = [values]}. Everything
// is checked before anything runs. ConfigError as for recipes.
StudyPlan read_study(const ConfigNode& root);

// The table `recipe_warnings`: what the arms' warnings say, without the place in a file, once for each group.
Table recipe_warnings(const StudyPlan& plan);

}  // namespace evenkeel::study
