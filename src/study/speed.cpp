#include "study/speed.h"

#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "ops/device.h"
#include "study/jobs.h"
#include "train/bench.h"
#include "train/interrupt.h"
#include "train/recipe_changes.h"

namespace evenkeel::study {
namespace {

constexpr const char* kFormat = "evenkeel.speed.v1";
constexpr int64_t kMaxSteps = 30;
constexpr double kMaxSeconds = 3;

// Arms that have this in common train equally fast: data, phases and replay do not bear on it.
std::string speed_key(const ArmPlan& arm) {
  const Json config = train::bearing_on_parameters(train::run_config_json(arm.config));
  return sha256_hex(Json(Json::Array{config.at("model"), config.at("optimizer"), config.at("train")}).dump());
}

// In a process of its own, like an arm.
Json measure(const ArmPlan& arm, const std::string& device, int64_t n_threads) {
  Json out;
  const Job job{arm.name, {}, [&](const auto& report) {
                  ops::set_threads(n_threads);
                  train::BenchOptions options;
                  options.n_steps = kMaxSteps;
                  options.max_seconds = kMaxSeconds;
                  options.device = device;
                  const auto times = train::time_steps(arm.config, options);
                  if (train::stop_requested()) return;
                  const Json step = Json::Object{{"median", times.median()}, {"min", times.seconds.front()}};
                  const auto n_steps = static_cast<int64_t>(times.seconds.size());
                  report(n_steps, Json(Json::Object{{"steps", n_steps}, {"step_seconds", step}, {"tokens_per_second", static_cast<double>(arm.config.tokens_per_step()) / times.median()}}).dump());
                }};
  run_jobs({job}, 1, [&](size_t, int64_t, const std::string& text) { out = Json::parse(text, "speed of " + arm.name); });
  return out;
}

// The measurements of speed.json by key; none when it is of another machine or not there.
std::map<std::string, Json> earlier_measurements(const fs::path& path, const Json& machine) {
  std::map<std::string, Json> out;
  if (!fs::exists(path)) return out;
  const Json file = read_json(path);
  if (file.at("format").as_string() != kFormat || !(file.at("machine") == machine)) return out;
  for (const auto& model : file.at("models").as_array()) out[model.at("key").as_string()] = model;
  return out;
}

}  // namespace

Speeds measure_speeds(const StudyPlan& plan, const fs::path& out, const std::string& device, const Json& machine) {
  const fs::path path = out / "speed.json";
  auto measured = earlier_measurements(path, machine);
  std::map<std::string, std::vector<const ArmPlan*>> arms_of;
  std::vector<std::string> keys;  // in the order of the arms
  for (const auto& arm : plan.arms) {
    const std::string key = speed_key(arm);
    if (arms_of[key].empty()) keys.push_back(key);
    arms_of[key].push_back(&arm);
  }
  Speeds speeds;
  Json models = Json::array();
  Progress progress("measuring speed", static_cast<double>(keys.size()), "models");
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto& arms = arms_of[keys[i]];
    Json model = measured.contains(keys[i]) ? measured[keys[i]] : measure(*arms[0], device, machine.at("threads").as_int());
    Json names = Json::array();
    for (const ArmPlan* arm : arms) {
      names.push_back(arm->name);
      speeds[arm->name] = {model.at("tokens_per_second").as_double(), model.at("step_seconds").at("median").as_double()};
    }
    model["key"] = keys[i];
    model["arms"] = std::move(names);
    models.push_back(std::move(model));
    progress.update(static_cast<double>(i + 1), arms[0]->name);
  }
  write_file_atomically(path, Json(Json::Object{{"format", kFormat}, {"machine", machine}, {"models", std::move(models)}}).dump(1) + "\n");
  return speeds;
}

}  // namespace evenkeel::study
