#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "checkpoint/manifest.h"
#include "core/counted.h"
#include "core/error_report.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "core/with_error.h"
#include "model/layout.h"
#include "ops/device.h"
#include "train/diagnose.h"
#include "train/interrupt.h"
#include "train/kept_checkpoints.h"
#include "train/machine.h"
#include "train/memory_limit.h"
#include "train/objective_words.h"
#include "train/open_run.h"
#include "train/phase_run.h"
#include "train/results.h"
#include "train/run_evaluation.h"
#include "train/run_sinks.h"
#include "train/starting_state.h"
#include "train/step.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

void log_plan(const RunSetting& setting, const TrainState& state) {
  const RunConfig& config = setting.config;
  const auto counts = model::count_parameters(config.model);
  log_info("model: ", human_count(static_cast<double>(counts.total)), " parameters, ",
           human_count(static_cast<double>(counts.active)), " active a token; ",
           human_count(model::training_flops_per_token(config.model, config.train.sequence_length)),
           "FLOP a token; device ", ops::device_name(setting.device), ", ", counted(ops::n_threads(), "thread"));
  if (config.model_from && state.step == 0)
    log_info("weights: all ", human_count(static_cast<double>(counts.total)), " parameters are those of ",
             weights_words(config.model_from->value));
  const Json resolved = run_config_json(config);
  for (size_t i = 0; i < config.phases.size(); ++i) {
    const PhaseConfig& phase = config.phases[i];
    const int64_t steps = phase.total_steps(config.train);
    const auto schedule = phase_schedule(config, phase);
    const std::string objective = objective_words(resolved.at("phase"), i);
    log_info("phase ", phase.name, ": ", counted(steps, "step"), ", ",
             human_count(static_cast<double>(steps * config.tokens_per_step())), " tokens",
             objective == "causal" ? "" : " by " + objective, ", lr ", three_digits(schedule->rate(1)), " ",
             optim::sparkline(*schedule, steps), " ", three_digits(schedule->rate(steps)));
  }
}

// FLOP/s.
double measured_gemm_rate(const at::Device& device) {
  const double rate = ops::gemm_rate(device, {512, 1024});
  log_info("matrix products reach ", std::llround(rate / 1e9),
           " GFLOP/s here; a step's line says which share of that its FLOPs come to (% of matmul speed)");
  return rate;
}

// The next step of the phase, and what the routing checks find on the way: before the phase's first step, and in each
// step's counts.
StepOutcome take_step(const RunSetting& setting, PhaseRun& phase, TrainState& state, AlarmWatch& watch) {
  StepOutcome out;
  const auto add_alarms = [&](const std::vector<Alarm>& found, const std::string& when) {
    for (auto& alarm : watch.add(found, when)) out.alarms.push_back(std::move(alarm));
  };
  const auto drawing = Clock::now();
  const auto batches = next_batches(setting, phase, state);
  out.seconds = seconds_since(drawing);
  if (state.phase_step == 0) add_alarms(diagnose(setting.model, batches[0], state), "");
  const auto training = Clock::now();
  out.report = train_step(setting.model,
                          {*phase.optimizer, phase.schedule->rate(state.phase_step + 1), phase.factors,
                           setting.config.train.logit_z_coefficient},
                          batches, state);
  out.seconds += seconds_since(training);
  const std::string when = "step " + std::to_string(state.step) + ": ";
  add_alarms(find_collapse(out.report.routing, out.report.token_scores), when);
  out.sources = source_counts(batches);
  return out;
}

// With on_collapse = "abort" a collapse ends the run, which can go on from here.
std::optional<Alarm> fatal_alarm(const RunSetting& setting, const std::vector<Alarm>& alarms) {
  const auto collapse =
      std::find_if(alarms.begin(), alarms.end(), [](const Alarm& alarm) { return alarm.is_collapse(); });
  return collapse != alarms.end() && setting.config.train.on_collapse == OnCollapse::abort ? std::optional(*collapse)
                                                                                           : std::nullopt;
}

void advance_phase(TrainState& state) {
  ++state.phase_index;
  state.phase_step = 0;
}

// A run that was stopped after a checkpoint may lack what was due at that step.
void catch_up(const RunSetting& setting, TrainState& state, RunSinks& sinks) {
  if (state.step == 0) return;
  evaluate_what_is_due(setting, state, sinks);
  if (setting.phase_has_ended(state) && state.step < setting.n_steps()) advance_phase(state);
}

// The phase that the state stands in, to its end or until time is up. The order in which a step is written matters for
// a resume: its line is on the disk before its checkpoint, and the checkpoint before an evaluation, which may fail.
TrainOutcome run_phase(OpenRun& run, RunSinks& sinks, KeptCheckpoints& checkpoints,
                       const std::function<bool()>& is_time_up) {
  const RunSetting& setting = run.setting;
  TrainState& state = run.state;
  const bool is_new = state.phase_step == 0;
  PhaseRun phase = begin_phase(setting, state);
  if (is_new) sinks.begin_phase(phase.config.name);
  const auto known =
      is_new ? std::set<Alarm>{} : alarms_of_phase(setting.options.run / "metrics.jsonl", phase.config.name);
  if (const auto fatal = fatal_alarm(setting, {known.begin(), known.end()})) {
    sinks.end();
    fail<NumericsError>("phase ", phase.config.name, ": got a run to go on with in which ",
                        alarm_sentences({*fatal})[0],
                        "; need --set train.on_collapse=warn to train on (now \"abort\")");
  }
  AlarmWatch watch(known);
  evaluate_before_training(setting, state, sinks);
  while (!setting.phase_has_ended(state)) {
    const StepOutcome step = take_step(setting, phase, state, watch);
    sinks.write(state, step);

    const bool stops = stop_requested();
    const auto fatal = fatal_alarm(setting, step.alarms);
    const bool has_more = state.step < setting.n_steps() || is_evaluation_due(setting, state);
    if (stops || fatal || checkpoints.is_due(state)) checkpoints.save(state, *run.metrics);
    if (fatal || (stops && has_more)) sinks.end();
    if (stops && has_more)
      fail<Interrupted>("stopped by a signal: saved step ", state.step, " of ", setting.n_steps(), " in ",
                        setting.options.run.string(), "; --resume goes on");
    if (fatal)
      fail<NumericsError>("step ", state.step, ": got ", alarm_sentences({*fatal})[0],
                          "; need no collapse (train.on_collapse = \"abort\"; the step is saved)");

    evaluate_what_is_due(setting, state, sinks);
    if (state.step < setting.n_steps() && is_time_up()) {
      checkpoints.save(state, *run.metrics);
      return TrainOutcome::out_of_time;
    }
  }
  return TrainOutcome::finished;
}

void finish_results(const RunSetting& setting, double gemm_rate) {
  Json machine = machine_json(setting.device);
  machine["runs_at_a_time"] = setting.options.runs_at_a_time;
  machine["gemm_gflops"] = gemm_rate / 1e9;
  machine["peak_rss_bytes"] = peak_rss_bytes();
  write_results(setting.options.run, run_results(read_arm(setting.options.run), machine));
}

TrainOutcome train(OpenRun& run, Clock::time_point begin) {
  const RunSetting& setting = run.setting;
  const TrainOptions& options = setting.options;
  TrainState& state = run.state;
  log_plan(setting, state);
  const double gemm_rate = measured_gemm_rate(setting.device);
  RunSinks sinks(setting, *run.metrics, state.step, gemm_rate);
  KeptCheckpoints checkpoints(setting);
  const auto is_time_up = [&] { return options.max_hours > 0 && seconds_since(begin) >= options.max_hours * 3600; };

  catch_up(setting, state, sinks);
  while (state.step < setting.n_steps()) {
    if (run_phase(run, sinks, checkpoints, is_time_up) == TrainOutcome::out_of_time) {
      sinks.end();
      log_info("out of time after ", options.max_hours, " hours: saved step ", state.step, " of ", setting.n_steps());
      return TrainOutcome::out_of_time;
    }
    if (state.step < setting.n_steps()) advance_phase(state);
  }

  sinks.end();
  finish_results(setting, gemm_rate);
  log_info("finished: ", counted(state.step, "step"), ", ", human_count(static_cast<double>(state.tokens)),
           " tokens in ", human_seconds(seconds_since(begin)), ", ", options.run.string());
  return TrainOutcome::finished;
}

}  // namespace

TrainOutcome train_run(const RunConfig& config, const TrainOptions& options) {
  struct StopCopy {
    ~StopCopy() { copy_log_to(""); }
  } stop_copy;
  hold_copy();
  const auto begin = Clock::now();
  InputData own_data;
  try {
    auto run = open_run(config, options, options.data != nullptr ? *options.data : own_data);
    if (run) return train(*run, begin);
    log_info(options.run.string(), " is finished; nothing to do");
    return TrainOutcome::finished;
  } catch (const std::exception& error) {
    copy_line(describe_error(error).line());
    throw;
  }
}

bool is_finished(const fs::path& run, const RunConfig& config) {
  const auto steps = checkpoint::saved_steps(run);
  if (steps.empty() || steps.back() < config.total_steps()) return false;
  try {
    const fs::path results = run / "results.json";
    return read_json(results).find("tables") != nullptr;
  } catch (const DataError&) {
    return false;  // none, or damaged: it is made again from what the run has
  }
}

}  // namespace evenkeel::train
