#include <iostream>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/recipe.h"
#include "core/errors.h"
#include "core/units.h"
#include "core/with_error.h"
#include "train/bench.h"
#include "train/inputs.h"

namespace evenkeel::cli {

int cmd_bench(Options& options) {
  std::string recipe;
  std::vector<std::string> overrides;
  std::optional<int64_t> seed;
  bool json = false;
  train::BenchOptions bench;
  options.add("RECIPE", recipe, "recipe (TOML); its phases need no data", true);
  options.add("--steps", bench.n_steps, {1, 1000000}, "timed steps, after one warm-up step");
  options.flag("--real-data", bench.real_data, "a phase's data instead of random tokens");
  options.add("--phase", bench.phase, "with --real-data: whose data (default: the first phase)");
  options.add("--set", overrides, "key.path=value, above the recipe; repeatable");
  options.add("--seed", seed, {}, "train.seed, above the recipe");
  options.flag("--json", json, "one JSON document on stdout");
  options.compute(bench.device);
  options.example("evenkeel bench recipes/tiny/granular-pb.toml --steps 20 --json");
  if (!options.parse()) return 0;
  const auto config = train::open_run_config(read_recipe(recipe, overrides, seed), train::DataNeed::optional);
  const Json result = train::bench(config, bench);
  if (json) {
    print_json(result);
    return 0;
  }
  std::cout << human_count(result.at("tokens_per_second").as_double()) << " tokens/s, step "
            << three_digits(result.at("step_seconds").at("median").as_double()) << " s (median), "
            << three_digits(result.at("gflops").as_double()) << " of "
            << three_digits(result.at("gemm_peak_gflops").as_double()) << " GFLOP/s, peak memory "
            << human_bytes(result.at("peak_rss_bytes").as_double()) << "\n";
  return 0;
}

}  // namespace evenkeel::cli
