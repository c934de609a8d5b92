#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <set>

#include "checkpoint/model_source.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/model_summary.h"
#include "cli/recipe.h"
#include "core/counted.h"
#include "core/log.h"
#include "core/terminal_text.h"
#include "core/units.h"
#include "core/with_error.h"
#include "model/layout.h"
#include "study/matrix.h"
#include "study/shared_phases.h"
#include "train/forecast.h"
#include "train/inputs.h"
#include "train/memory.h"
#include "train/memory_limit.h"

namespace evenkeel::cli {
namespace {

struct PlanOptions {
  std::string recipe, device;
  std::vector<std::string> overrides;
  std::optional<double> gflops;  // stated; none: it is measured
  bool json = false, no_measure = false;
};

train::StepRate rate_of(const train::RunConfig& config, const PlanOptions& options, bool may_measure) {
  if (options.gflops) return train::stated_rate(config, *options.gflops * 1e9);
  return train::measure_rate(config, options.device, may_measure);
}

// What the starts and the forecast warn of, and `kept`, of a balance loss that nothing says, where it is not empty.
std::vector<std::string> warnings_of(std::vector<std::string> of_starts, const train::Forecast& run,
                                     const std::string& kept) {
  auto out = std::move(of_starts);
  const auto forecast = run.warnings();
  out.insert(out.end(), forecast.begin(), forecast.end());
  if (!kept.empty()) out.push_back(kept);
  return out;
}

// A plan may come before the data; of a path that is wrong, `train` would say the same as an error.
std::vector<std::string> missing_data(const train::Forecast& run) {
  std::vector<std::string> out;
  for (const auto& path : run.missing)
    out.push_back("there is no data set " + printable(path) + " yet: its passes and its evaluations are not counted");
  return out;
}

Json plan_json(const train::RunConfig& config, const train::StepRate& rate, const train::Forecast& run,
               const std::vector<std::string>& messages) {
  const int64_t steps = config.total_steps(), tokens = steps * config.tokens_per_step();
  Json out = Json::object(), warnings = Json::array();
  for (const auto& message : messages) warnings.push_back(message);
  out["parameters"] = parameters_json(config.model);
  out["flops_per_token"] = flops_json(config.model, config.train.sequence_length);
  out["memory"] = train::to_json(train::estimate_memory(config));
  out["memory"]["available_bytes"] = train::available_memory().bytes;
  const double flops = out.at("flops_per_token").at("training").as_double() * static_cast<double>(tokens);
  out["run"] = Json::Object{{"steps", steps}, {"tokens", tokens}, {"training_flops", flops}};
  out["time"] = train::time_json(config, rate, run);
  out["disk"] = train::disk_json(run);
  out["phases"] = train::phases_json(run);
  out["warnings"] = std::move(warnings);
  return out;
}

void print_memory(const Json& memory) {
  const auto bytes = [&](const char* key) { return human_bytes(memory.at(key).as_double()); };
  std::cout << "memory       " << bytes("total_bytes") << " at the peak (" << memory.at("moment").as_string() << ")";
  const char* separator = ": ";
  for (const char* part :
       {"parameters", "gradients", "optimizer", "activations", "masks", "logits", "other_model", "program"}) {
    const std::string key = std::string(part) + "_bytes";
    if (memory.at(key).as_double() == 0) continue;
    std::cout << separator << (part == std::string("other_model") ? "the model to compare with" : part) << " "
              << bytes(key.c_str());
    separator = ", ";
  }
  const double there = memory.at("available_bytes").as_double();
  std::cout << "; here " << bytes("available_bytes")
            << (memory.at("total_bytes").as_double() > there && there > 0 ? " are free: too little\n" : " are free\n");
}

void print_phase(const train::RunConfig& config, size_t index, const train::Forecast& run) {
  const auto& phase = config.phases[index];
  const auto& cost = run.phases[index];
  const auto schedule = train::phase_schedule(config, phase);
  std::cout << "phase        " << cost.name << ": " << counted(cost.steps, "step") << ", " << human_count(cost.tokens)
            << " tokens, " << human_seconds(cost.seconds()) << ", lr " << three_digits(schedule->rate(1))
            << " at step 1, " << three_digits(schedule->rate((cost.steps + 1) / 2)) << " at half, "
            << three_digits(schedule->rate(cost.steps)) << " at the end\n";
  for (const auto& use : cost.sources) {
    std::cout << "             " << use.name << ": " << human_count(use.tokens) << " tokens of " << printable(use.path);
    if (use.objective != "causal") std::cout << " by " << use.objective;
    if (use.data_tokens == 0) {
      std::cout << ", which is not there yet\n";
      continue;
    }
    if (use.is_estimate)
      std::cout << ", about " << human_count(use.text_tokens) << " of them text (a pass over it feeds about "
                << human_count(use.epoch_tokens) << ")";
    char text[80];
    std::snprintf(text, sizeof text, ", %s%.2f epochs", use.is_estimate ? "about " : "", use.epochs);
    std::cout << text;
    if (use.epochs_so_far > use.epochs) {
      std::snprintf(text, sizeof text, ", %.2f in the run by then", use.epochs_so_far);
      std::cout << text;
    }
    std::cout << "\n";
  }
}

void print_plan(const train::RunConfig& config, const train::StepRate& rate, const train::Forecast& run,
                const Json& plan) {
  const auto count = [&](const char* table, const char* key) {
    return human_count(plan.at(table).at(key).as_double());
  };
  std::cout << parameters_line(plan.at("parameters")) << "\n"
            << "FLOPs        " << count("flops_per_token", "training")
            << " a token in training; the run: " << count("run", "steps")
            << (config.total_steps() == 1 ? " step, " : " steps, ") << count("run", "tokens") << " tokens, "
            << three_digits(plan.at("run").at("training_flops").as_double()) << " FLOP\n";
  print_memory(plan.at("memory"));
  const Json& time = plan.at("time");
  std::cout << "time         " << (rate.source == "bound" ? "at least " : "") << human_seconds(run.seconds())
            << ", of it evaluation " << human_seconds(time.at("evaluation_seconds").as_double()) << ", checkpoints "
            << human_seconds(time.at("checkpoint_seconds").as_double()) << "; a step takes "
            << three_digits(rate.step_seconds) << " s, " << human_count(time.at("tokens_per_second").as_double())
            << " tokens/s (" << rate.note << ")\n"
            << "disk         " << human_bytes(plan.at("disk").at("bytes").as_double()) << ": "
            << counted(run.checkpoints, "checkpoint") << " of " << human_bytes(run.checkpoint_bytes) << "\n";
  for (size_t i = 0; i < config.phases.size(); ++i) print_phase(config, i, run);
}

int plan_run(const ConfigNode& root, const PlanOptions& options) {
  const auto config = train::open_run_config(root);
  train::InputData data;
  const auto of_starts = train::check_what_is_there(config, data);
  const auto rate = rate_of(config, options, !options.no_measure);
  const auto run = train::forecast(config, rate);
  auto warnings = warnings_of(of_starts, run, model::kept_balance_warning(*root.find("model"), config.model));
  for (const auto& message : missing_data(run)) warnings.push_back(message);
  const Json plan = plan_json(config, rate, run, warnings);
  if (options.json) {
    print_json(plan);
  } else {
    print_plan(config, rate, run, plan);
  }
  std::cout.flush();
  for (const auto& warning : warnings) log_warning(warning);
  return 0;
}

// Rates of a study's models. Arms of one model, optimizer and [train] table share a measurement; all take half a minute
// at most.
class StudyRates {
 public:
  explicit StudyRates(const PlanOptions& options) : options_(options) {}
  train::StepRate of(const train::RunConfig& config) {
    Json resolved = train::run_config_json(config);
    resolved["train"].erase("seed");
    const std::string key =
        Json(Json::Array{resolved.at("model"), resolved.at("optimizer"), resolved.at("train")}).dump();
    const auto known = rates_.find(key);
    if (known != rates_.end()) return known->second;
    constexpr double kMostSeconds = 30;
    const double spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    return rates_[key] = rate_of(config, options_, !options_.no_measure && spent < kMostSeconds);
  }

 private:
  const PlanOptions& options_;
  std::map<std::string, train::StepRate> rates_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// Each arm's plan under its name. A phase that an arm takes from another costs nothing.
int plan_study(const study::StudyPlan& study, const PlanOptions& options) {
  Json arms = Json::object();
  StudyRates rates(options);
  train::InputData data;
  double flops = 0, seconds = 0, bytes = 0;
  std::set<std::string> warnings;
  for (size_t i = 0; i < study.arms.size(); ++i) {
    const auto& arm = study.arms[i];
    const auto of_starts = train::check_what_is_there(arm.config, data);
    const auto rate = rates.of(arm.config);
    const auto run = train::forecast(arm.config, rate);
    auto messages = warnings_of(of_starts, run, arm.warning);
    for (const auto& message : messages)
      warnings.insert("arm " + arm.group + ": " + message);  // once for all of its seeds
    for (const auto& message : missing_data(run)) {
      messages.push_back(message);
      warnings.insert(message);  // once for all arms
    }
    Json plan = plan_json(arm.config, rate, run, messages);
    const auto giver = study::giver_of(study, i);
    const size_t n_shared = giver ? study::n_shared_phases(study.arms[*giver], arm) : 0;
    double arm_seconds = 0;
    for (size_t phase = n_shared; phase < run.phases.size(); ++phase) arm_seconds += run.phases[phase].seconds();
    flops += plan.at("run").at("training_flops").as_double();
    seconds += arm_seconds;
    bytes += plan.at("disk").at("bytes").as_double();
    plan["shared_phases"] = static_cast<int64_t>(n_shared);
    plan["own_seconds"] = arm_seconds;
    if (!options.json)
      std::cout << arm.name << ": " << human_count(plan.at("parameters").at("total").as_double()) << " parameters, "
                << human_count(plan.at("flops_per_token").at("training").as_double()) << " FLOP a token, "
                << human_count(plan.at("run").at("tokens").as_double()) << " tokens, "
                << human_bytes(plan.at("memory").at("total_bytes").as_double()) << " of memory, "
                << (rate.source == "bound" ? "at least " : "") << human_seconds(arm_seconds)
                << (n_shared > 0 ? " without the phases that it takes from " + study.arms[*giver].name : "") << " ("
                << rate.note << ")\n";
    arms[arm.name] = std::move(plan);
  }
  if (options.json) {
    print_json(
        Json::Object{{"arms", std::move(arms)}, {"training_flops", flops}, {"seconds", seconds}, {"bytes", bytes}});
  } else {
    std::cout
        << "in all " << counted(static_cast<int64_t>(study.arms.size()), "arm") << ", " << human_seconds(seconds)
        << " one after the other, at most " << human_bytes(bytes) << " of disk, " << three_digits(flops)
        << " FLOP (phases that arms share are computed once and in the time once; in the FLOP they count for each)\n";
  }
  std::cout.flush();
  for (const auto& warning : warnings) log_warning(warning);
  return 0;
}

// Of a MODEL: what it is and costs, whatever it is trained on.
int plan_model(const std::string& path, const PlanOptions& options) {
  require<ConfigError>(options.overrides.empty(), "--set: got ", options.overrides.empty() ? "" : options.overrides[0],
                       " with a model; need a recipe, whose [model] from may name it");
  const auto source = checkpoint::open_model(path, std::nullopt, /*deep=*/false);
  const Json costs = model_costs(source);
  if (options.json) {
    print_json(costs);
    return 0;
  }
  for (const auto& line : architecture_lines(source.config)) std::cout << line << "\n";
  for (const auto& line : cost_lines(costs)) std::cout << line << "\n";
  return 0;
}

}  // namespace

int cmd_plan(Options& options) {
  PlanOptions plan;
  options.add("RECIPE", plan.recipe, "recipe or study (TOML); or a checkpoint, run or Hugging Face folder", true);
  options.add("--set", plan.overrides, "key.path=value, above the recipe; repeatable");
  options.add(
      "--gflops", plan.gflops,
      "the time at this rate of training, in 10^9 FLOP/s, with nothing measured here (one A100 at 35 %: 109200)");
  options.flag("--no-measure", plan.no_measure, "time no steps; the time is then only a bound from matrix products");
  options.flag("--json", plan.json, "one JSON document on stdout");
  options.compute(plan.device);
  list_choices(options);
  options.example("evenkeel plan recipes/paper/granular-2b.toml");
  if (!options.parse()) return 0;
  require<ConfigError>(!plan.gflops || (*plan.gflops >= 1e-3 && *plan.gflops <= 1e15), "--gflops: got ",
                       plan.gflops.value_or(0), "; need 0.001 to 1e15, or no --gflops, to have the rate measured here");
  if (std::error_code ignored; std::filesystem::is_directory(plan.recipe, ignored))
    return plan_model(plan.recipe, plan);
  const ConfigNode root = read_recipe(plan.recipe, plan.overrides);
  if (root.find("study") != nullptr) return plan_study(study::read_study(root), plan);
  return plan_run(root, plan);
}

}  // namespace evenkeel::cli
