#include <iostream>

#include "cli/commands.h"
#include "cli/recipe.h"
#include "core/units.h"
#include "model/layout.h"
#include "study/matrix.h"
#include "train/memory.h"

namespace evenkeel::cli {
namespace {

Json plan_json(const train::RunConfig& config) {
  const auto counts = model::count_parameters(config.model);
  const double forward = model::forward_flops_per_token(config.model, config.train.sequence_length);
  const int64_t steps = config.total_steps(), tokens = steps * config.tokens_per_step();
  Json out = Json::object();
  out["parameters"] = Json::Object{{"total", counts.total}, {"active", counts.active}, {"total_without_embeddings", counts.total_without_embeddings}, {"active_without_embeddings", counts.active_without_embeddings}};
  out["flops_per_token"] = Json::Object{{"forward", forward}, {"training", 3 * forward}};
  out["memory"] = train::to_json(train::estimate_memory(config));
  out["run"] = Json::Object{{"steps", steps}, {"tokens", tokens}, {"training_flops", 3 * forward * static_cast<double>(tokens)}};
  return out;
}

void print_plan(const train::RunConfig& config, const Json& plan) {
  const auto count = [&](const char* table, const char* key) { return human_count(plan.at(table).at(key).as_double()); };
  const auto bytes = [&](const char* key) { return human_bytes(plan.at("memory").at(key).as_double()); };
  std::cout << "parameters   " << count("parameters", "total") << " in all, " << count("parameters", "active") << " active a token; without embeddings "
            << count("parameters", "total_without_embeddings") << " and " << count("parameters", "active_without_embeddings") << "\n"
            << "FLOPs        " << count("flops_per_token", "training") << " a token in training; the run: " << count("run", "steps") << " steps, " << count("run", "tokens")
            << " tokens, " << plan.at("run").at("training_flops").as_double() << " FLOP\n"
            << "memory       " << bytes("total_bytes") << " on one device: parameters " << bytes("parameters_bytes") << ", gradients " << bytes("gradients_bytes") << ", optimizer "
            << bytes("optimizer_bytes") << ", activations " << bytes("activations_bytes") << ", logits " << bytes("logits_bytes") << "\n";
  const double flops = plan.at("run").at("training_flops").as_double();
  struct Machine {
    const char* name;
    double flops_per_second;
  };
  // 35 % of A100 bf16 peak is what arXiv 2503.05029 reports for its dense model.
  constexpr Machine kMachines[] = {{"one A100 at 35 % of 312 TFLOP/s", 0.35 * 312e12}, {"64 A100 at 35 %", 64 * 0.35 * 312e12}, {"this kind of laptop at 100 GFLOP/s", 1e11}};
  for (const auto& machine : kMachines) std::cout << "time         " << human_seconds(flops / machine.flops_per_second) << " on " << machine.name << "\n";
  for (const auto& phase : config.phases) {
    const int64_t steps = phase.total_steps(config.train);
    const auto schedule = train::phase_schedule(config, phase);
    std::cout << "phase        " << phase.name << ": " << steps << " steps, " << human_count(static_cast<double>(steps * config.tokens_per_step())) << " tokens, lr "
              << schedule->rate(1) << " at step 1, " << schedule->rate((steps + 1) / 2) << " at half, " << schedule->rate(steps) << " at the end\n";
  }
}

// Each arm's plan under its name. Phases that arms share are counted once for each of them.
int plan_study(const study::StudyPlan& study, bool json) {
  Json arms = Json::object();
  double flops = 0;
  for (const auto& arm : study.arms) {
    Json plan = plan_json(arm.config);
    flops += plan.at("run").at("training_flops").as_double();
    if (!json)
      std::cout << arm.name << ": " << human_count(plan.at("parameters").at("total").as_double()) << " parameters, " << human_count(plan.at("flops_per_token").at("training").as_double())
                << " FLOP a token, " << human_count(plan.at("run").at("tokens").as_double()) << " tokens\n";
    arms[arm.name] = std::move(plan);
  }
  if (json) {
    std::cout << Json(Json::Object{{"arms", std::move(arms)}, {"training_flops", flops}}).dump(1) << "\n";
  } else {
    std::cout << "in all " << study.arms.size() << " arms, " << flops << " FLOP (phases that arms share are computed once, but counted for each)\n";
  }
  return 0;
}

}  // namespace

int cmd_plan(Options& options) {
  std::string recipe;
  std::vector<std::string> overrides;
  bool json = false;
  options.add("RECIPE", recipe, "recipe or study (TOML)", true);
  options.add("--set", overrides, "key.path=value, above the recipe; repeatable");
  options.flag("--json", json, "one JSON document on stdout");
  list_choices(options);
  options.example("evenkeel plan recipes/paper/granular-2b.toml");
  if (!options.parse()) return 0;
  const ConfigNode root = read_recipe(recipe, overrides);
  if (root.find("study") != nullptr) return plan_study(study::read_study(root), json);
  const auto config = train::read_run_config(root);
  const Json plan = plan_json(config);
  if (json) {
    std::cout << plan.dump(1) << "\n";
  } else {
    print_plan(config, plan);
  }
  return 0;
}

}  // namespace evenkeel::cli
