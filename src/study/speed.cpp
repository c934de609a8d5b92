#include "study/speed.h"

#include <chrono>
#include <cmath>

#include "core/counted.h"
#include "core/errors.h"
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

constexpr const char* kFormat = "evenkeel.speed.v2";
// A turn costs a process, fresh weights and a warm-up step besides. With the limits below five models take about half a
// minute; many or large ones take three rounds, of two steps a turn at least.
constexpr int64_t kMostRounds = 5, kLeastRounds = 3, kMostSteps = 30;
constexpr double kTurnSeconds = 0.6, kMostSeconds = 60;

// Arms that train equally fast: data, phases and replay do not bear on it.
struct Model {
  std::string key;  // hashes what they have in common
  std::vector<const ArmPlan*> arms;
  std::vector<Turn> turns;
};

std::string speed_key(const ArmPlan& arm) {
  const Json config = train::bearing_on_parameters(train::run_config_json(arm.config));
  return sha256_hex(Json(Json::Array{config.at("model"), config.at("optimizer"), config.at("train")}).dump());
}

// In the order of the arms.
std::vector<Model> models_of(const StudyPlan& plan) {
  std::vector<Model> out;
  for (const auto& arm : plan.arms) {
    const std::string key = speed_key(arm);
    auto known = std::find_if(out.begin(), out.end(), [&](const Model& model) { return model.key == key; });
    if (known == out.end()) known = out.insert(out.end(), {key, {}, {}});
    known->arms.push_back(&arm);
  }
  return out;
}

Json optional_json(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

// In a process of its own, like an arm.
Job turn_of(const ArmPlan& arm, const std::string& device, int64_t n_threads) {
  return {arm.name, {}, [&arm, device, n_threads](const auto& report) {
            ops::set_threads(n_threads);
            train::BenchOptions options;
            options.n_steps = kMostSteps;
            options.max_seconds = kTurnSeconds;
            options.device = device;
            const auto times = train::time_steps(arm.config, options);
            if (train::stop_requested()) return;
            Json seconds = Json::array();
            for (const double step : times.seconds) seconds.push_back(step);
            report(0, Json(Json::Object{{"step_seconds", std::move(seconds)},
                                        {"cpu_seconds", times.cpu_seconds},
                                        {"core_wait_seconds", optional_json(times.core_wait_seconds)}})
                          .dump());
          }};
}

void measure(std::vector<Model>& models, const std::string& device, int64_t n_threads) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  std::vector<Job> turns;
  for (const auto& model : models) turns.push_back(turn_of(*model.arms[0], device, n_threads));
  const auto n_turns = static_cast<double>(kMostRounds) * static_cast<double>(turns.size());
  Progress progress("measuring speed", n_turns, "");
  double n_done = 0;
  for (int64_t round = 0; round < kMostRounds; ++round) {
    if (round >= kLeastRounds && std::chrono::duration<double>(Clock::now() - begin).count() > kMostSeconds) break;
    run_jobs(turns, 1, [&](size_t model, int64_t, const std::string& text) {
      const Json found = Json::parse(text, "speed of " + models[model].arms[0]->name);
      Turn turn;
      for (const auto& step : found.at("step_seconds").as_array()) turn.step_seconds.push_back(step.as_double());
      turn.cpu_seconds = found.at("cpu_seconds").as_double();
      if (const Json& wait = found.at("core_wait_seconds"); !wait.is_null()) turn.core_wait_seconds = wait.as_double();
      models[model].turns.push_back(std::move(turn));
      progress.update(++n_done,
                      join_parts(model + 1, " of ", counted(static_cast<int64_t>(models.size()), "model"), " in round ",
                                 round + 1, " of ", kMostRounds, " at most: ", models[model].arms[0]->name));
    });
  }
  progress.update(n_turns);
}

// Between the nearest two of sorted values where the place falls between them.
double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Json measured_json(const Model& model, const Speed& speed) {
  Json turns = Json::array();
  double least = INFINITY;
  for (const auto& turn : model.turns) {
    Json seconds = Json::array();
    for (const double step : turn.step_seconds) seconds.push_back(step);
    turns.push_back(Json::Object{{"step_seconds", std::move(seconds)},
                                 {"cpu_seconds", turn.cpu_seconds},
                                 {"core_wait_seconds", optional_json(turn.core_wait_seconds)}});
    least = std::min(least, turn.step_seconds.front());
  }
  Json out = Json::object();
  out["key"] = model.key;
  out["arms"] = Json();
  out["step_seconds"] = Json::Object{{"median", speed.step_seconds}, {"min", least}};
  out["tokens_per_second"] = speed.tokens_per_second;
  out["cpu_seconds_per_token"] = speed.cpu_seconds_per_token;
  out["spread"] = speed.spread;
  out["cpu_share"] = optional_json(speed.cpu_share);
  out["busy"] = speed.is_busy();
  out["turns"] = std::move(turns);
  return out;
}

Speed read_speed(const Json& model) {
  Speed out;
  out.tokens_per_second = model.at("tokens_per_second").as_double();
  out.step_seconds = model.at("step_seconds").at("median").as_double();
  out.cpu_seconds_per_token = model.at("cpu_seconds_per_token").as_double();
  out.spread = model.at("spread").as_double();
  if (!model.at("cpu_share").is_null()) out.cpu_share = model.at("cpu_share").as_double();
  return out;
}

// The measurements of speed.json by key; none when it is of another machine or format, or not there.
std::map<std::string, Json> earlier_measurements(const fs::path& path, const Json& machine) {
  std::map<std::string, Json> out;
  if (!fs::exists(path)) return out;
  const Json file = read_json(path);
  with_path(path, file, [&] {
    if (file.at("format").as_string() != kFormat || !(file.at("machine") == machine)) return;
    for (const auto& model : file.at("models").as_array()) {
      read_speed(model);
      out[model.at("key").as_string()] = model;
    }
  });
  return out;
}

}  // namespace

Speed speed_of(const std::vector<Turn>& turns, int64_t tokens_per_step, int64_t n_threads) {
  std::vector<double> steps;
  double wall = 0, cpu = 0, wait = 0;
  bool has_wait = true;
  for (const auto& turn : turns) {
    steps.insert(steps.end(), turn.step_seconds.begin(), turn.step_seconds.end());
    cpu += turn.cpu_seconds;
    wait += turn.core_wait_seconds.value_or(0);
    has_wait = has_wait && turn.core_wait_seconds.has_value();
  }
  std::sort(steps.begin(), steps.end());
  for (const double step : steps) wall += step;
  Speed out;
  out.step_seconds = quantile(steps, 0.5);
  out.tokens_per_second = static_cast<double>(tokens_per_step) / out.step_seconds;
  out.cpu_seconds_per_token = cpu / static_cast<double>(tokens_per_step * static_cast<int64_t>(steps.size()));
  out.spread = (quantile(steps, 0.75) - quantile(steps, 0.25)) / out.step_seconds;
  if (n_threads > 0) out.cpu_share = cpu / (has_wait ? cpu + wait : wall * static_cast<double>(n_threads));
  return out;
}

Speeds read_speeds(const fs::path& path) {
  const Json file = read_json(path);
  Speeds out;
  with_path(path, file, [&] {
    for (const auto& model : file.at("models").as_array())
      for (const auto& arm : model.at("arms").as_array()) out[arm.as_string()] = read_speed(model);
  });
  return out;
}

Speeds measure_speeds(const StudyPlan& plan, const fs::path& out, const std::string& device, const Json& machine) {
  const fs::path path = out / "speed.json";
  auto models = models_of(plan);
  const auto earlier = earlier_measurements(path, machine);
  const bool has_all =
      std::all_of(models.begin(), models.end(), [&](const Model& model) { return earlier.contains(model.key); });
  const int64_t n_threads = machine.at("threads").as_int();
  if (!has_all) measure(models, device, n_threads);
  const bool has_dense = std::any_of(models.begin(), models.end(),
                                     [](const Model& model) { return model.arms[0]->config.model.n_experts == 0; });
  const bool on_cpu = machine.at("device").as_string() == "cpu";
  Speeds speeds;
  Json entries = Json::array();
  for (const auto& model : models) {
    const ArmPlan& first = *model.arms[0];
    Json entry =
        has_all ? earlier.at(model.key)
                : measured_json(model, speed_of(model.turns, first.config.tokens_per_step(), on_cpu ? n_threads : 0));
    const Speed speed = read_speed(entry);
    if (speed.is_busy())
      log_warning(
          "arm ", first.name, ": the machine was busy while its speed was measured, so it is no measure of the model",
          has_dense ? " and has no ratio to a dense arm" : "", "; without ", path.string(), " it is measured anew");
    Json names = Json::array();  // the arms of today
    for (const ArmPlan* arm : model.arms) {
      names.push_back(arm->name);
      speeds[arm->name] = speed;
    }
    entry["arms"] = std::move(names);
    entries.push_back(std::move(entry));
  }
  write_file_atomically(
      path,
      Json(Json::Object{{"format", kFormat}, {"machine", machine}, {"models", std::move(entries)}}).dump(1) + "\n");
  return speeds;
}

}  // namespace evenkeel::study
