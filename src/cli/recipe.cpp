#include "cli/recipe.h"

#include <filesystem>

#include "core/errors.h"
#include "data/objectives/objective.h"
#include "model/attention/attention.h"
#include "moe/balance_loss.h"
#include "moe/router.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"

namespace evenkeel::cli {

namespace fs = std::filesystem;

ConfigNode read_recipe(const std::string& path, const std::vector<std::string>& overrides,
                       std::optional<int64_t> seed) {
  std::error_code ignored;
  const fs::path recipe = fs::path(path) / "recipe.toml";
  require<ConfigError>(!fs::is_directory(path, ignored), path, ": got a folder; need a recipe, a TOML file",
                       fs::exists(recipe, ignored) ? ", as " + recipe.string() : "");
  ConfigNode root = read_toml(path);
  for (const auto& assignment : overrides) apply_override(root, assignment);
  if (seed) apply_override(root, "train.seed=" + std::to_string(*seed));
  return root;
}

namespace {
std::vector<std::pair<std::string, std::string>> names_and_help(const auto& kinds) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& kind : kinds) out.emplace_back(kind.name, kind.help);
  return out;
}
}  // namespace

void list_choices(Options& options) {
  options.list("Attention (model.attention.kind)", names_and_help(model::attention_kinds()));
  options.list("Routers (model.router.kind)", names_and_help(moe::router_kinds()));
  std::vector<std::pair<std::string, std::string>> losses;
  for (const auto& kind : moe::balance_loss_kinds()) losses.emplace_back(kind.name, kind.source);
  options.list("Balance losses (model.balance.loss)", losses);
  options.list("Optimizers (optimizer.kind)", names_and_help(optim::optimizer_kinds()));
  options.list("Objectives (phase.objective.kind)", names_and_help(data::objective_kinds()));
  options.list("Schedules (phase.schedule.kind)", names_and_help(optim::schedule_kinds()));
}

}  // namespace evenkeel::cli
