#include "train/forecast.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>

#include "core/counted.h"
#include "core/errors.h"
#include "core/units.h"
#include "core/with_error.h"
#include "data/indexed_dataset.h"
#include "data/loader.h"
#include "model/layout.h"
#include "ops/device.h"
#include "train/bench.h"
#include "train/memory.h"
#include "train/memory_limit.h"
#include "train/scoring.h"
#include "train/phase.h"
#include "train/text_use.h"

namespace evenkeel::train {
namespace {

double step_flops(const RunConfig& config, int64_t n_sequences) {
  return model::training_flops_per_token(config.model, config.train.sequence_length) *
         static_cast<double>(n_sequences * config.train.sequence_length);
}

// Tokens of a data set, 0 where it is not there yet: a plan may come before the data.
class DataSizes {
 public:
  double at(const std::string& path) {
    const auto known = tokens_.find(path);
    if (known != tokens_.end()) return known->second;
    const bool is_there = std::filesystem::exists(path + ".idx");
    if (!is_there) missing_.push_back(path);
    return tokens_[path] = is_there ? static_cast<double>(data::IndexedDataset::open(path).n_tokens()) : 0.0;
  }

  const std::vector<std::string>& missing() const { return missing_; }

 private:
  std::map<std::string, double> tokens_;
  std::vector<std::string> missing_;
};

// One of every `period` steps and the last; 0: the last alone.
int64_t n_due(int64_t steps, int64_t period) { return period == 0 ? 1 : (steps + period - 1) / period; }

// Steps of phase `index` that later phases start from and that nothing else saves.
int64_t n_pinned(const RunConfig& config, size_t index, int64_t period) {
  const auto first_steps = phase_first_steps(config);
  std::set<int64_t> pinned;
  for (size_t i = index + 1; i < config.phases.size(); ++i) {
    const auto& start = config.phases[i].start;
    if (!start || !start->step.number || !external_start(config, i).empty()) continue;
    const int64_t step = *start->step.number, within = step - first_steps[index] + 1;
    const bool is_inside = step >= first_steps[index] && step + 1 < first_steps[index + 1];
    if (is_inside && (period == 0 || within % period != 0)) pinned.insert(step);
  }
  return static_cast<int64_t>(pinned.size());
}

// What of the text a use takes; the data are there.
void count_text(const RunConfig& config, const PhaseConfig& phase, const DataSource& source, SourceUse& use) {
  const auto objective = source_objective(config, phase, source);
  const auto S = static_cast<double>(config.train.sequence_length);
  const auto samples = data::samples_per_epoch(static_cast<int64_t>(use.data_tokens), config.train.sequence_length);
  use.objective = objective->kind();
  if (samples == 0) return;
  const auto text =
      text_use(data::IndexedDataset::open(use.path), *objective, sampler_options(config, phase), phase.shuffle);
  use.is_estimate = text.is_estimate;
  use.text_tokens = use.tokens / S * text.tokens;
  use.epochs = use.tokens / S * text.advance / (static_cast<double>(samples) * S);
  use.epoch_tokens = static_cast<double>(samples) * S / text.advance * S;
}

std::vector<SourceUse> sources_of(const RunConfig& config, const PhaseConfig& phase, double tokens, DataSizes& sizes) {
  std::vector<SourceUse> out;
  // `of`: the phase whose objectives the sources have where they name none.
  const auto add = [&](const PhaseConfig& of, const std::vector<DataSource>& sources, double share,
                       const std::string& prefix) {
    double weights = 0;
    for (const auto& source : sources) weights += source.weight;
    for (const auto& source : sources) {
      SourceUse use;
      use.name = prefix + source.name;
      use.path = source.path.value;
      use.tokens = weights > 0 ? tokens * share * source.weight / weights : 0;
      use.data_tokens = sizes.at(source.path.value);
      count_text(config, of, source, use);
      use.repeats_on_purpose = !prefix.empty() && phase.repeats_seen();
      out.push_back(use);
    }
  };
  const double replayed = phase.replay ? phase.replay->fraction : 0;
  add(phase, phase.data, 1 - replayed, "");
  if (replayed == 0) return out;
  if (!phase.replay->data.empty()) add(phase, phase.replay->data, replayed, "replay/");
  for (const auto& earlier : config.phases)
    if (earlier.name == phase.replay->from) add(earlier, earlier.data, replayed, "replay/");
  return out;
}

// One evaluation of all sets that are there.
struct Evaluation {
  double tokens = 0;  // scored; of a set with an objective of its own fed
  int64_t sets = 0;
};
Evaluation evaluation_of(const RunConfig& config, const EvalConfig& eval, DataSizes& sizes) {
  Evaluation out;
  for (const auto& set : eval.data) {
    const double all = std::max(0.0, sizes.at(set.path.value) - 1);
    out.sets += all > 0 ? 1 : 0;
    if (const auto objective = scoring_objective(config, set); objective != nullptr && all > 0) {
      out.tokens += evaluated_tokens(data::IndexedDataset::open(set.path.value), *objective,
                                     config.train.sequence_length, eval.max_tokens);
      continue;
    }
    out.tokens += eval.max_tokens > 0 ? std::min(all, static_cast<double>(eval.max_tokens)) : all;
  }
  return out;
}

// The recipe with fewer sequences a step, as many as take about `seconds` at this rate of FLOPs; at least one. Where
// there are several micro-batches two stay: gradients add up, and a router may plan the step.
RunConfig cut_to(const RunConfig& config, double seconds, double flops_per_second) {
  RunConfig out = config;
  const double that_fit = seconds * flops_per_second / step_flops(config, 1);
  if (static_cast<double>(config.train.batch_size) <= that_fit) return out;
  const int64_t n_micro = config.train.micro_batch_size < config.train.batch_size ? 2 : 1;
  const auto n = std::clamp<int64_t>(static_cast<int64_t>(that_fit) / n_micro, 1, config.train.micro_batch_size);
  out.train.micro_batch_size = n;
  out.train.batch_size = n * n_micro;
  return out;
}

// What no run is faster than.
StepRate bound_of(const RunConfig& config, double gemm_rate, const std::string& why) {
  auto out = stated_rate(config, gemm_rate);
  out.source = "bound";
  out.note = join_parts("not measured: ", why, "; at least this long at the ", three_digits(gemm_rate / 1e9),
                        " GFLOP/s of matrix products here, of which training reaches a part");
  return out;
}

}  // namespace

StepRate stated_rate(const RunConfig& config, double flops_per_second) {
  StepRate out;
  out.source = "stated";
  out.note = join_parts("at the stated ", flops_per_second / 1e9, " GFLOP/s");
  out.step_seconds = step_flops(config, config.train.batch_size) / flops_per_second;
  out.forward_seconds_per_token =
      model::forward_flops_per_token(config.model, config.train.sequence_length) / flops_per_second;
  return out;
}

StepRate measure_rate(const RunConfig& config, const std::string& device_name, bool may_measure) {
  // Training reaches a fifth to three fifths of the rate of products; weights are made at about 40M a second on one
  // slow core.
  constexpr double kShareOfProducts = 0.3, kStepSeconds = 1, kMostSeconds = 8, kWeightsPerSecond = 40e6;
  constexpr int64_t kMostSteps = 20;
  const auto device = ops::find_device(device_name);
  const double gemm_rate = ops::gemm_rate(device, {512, 1024}), rate = kShareOfProducts * gemm_rate;
  if (!may_measure) return bound_of(config, gemm_rate, "--no-measure");
  const auto there = available_memory();
  const double needed = estimate_memory(config).total();
  if (there.bytes > 0 && needed > there.bytes)
    return bound_of(config, gemm_rate,
                    "it needs " + human_bytes(needed) + " of memory; " + there.source + " has " +
                        human_bytes(there.bytes) + " free");
  const RunConfig cut = cut_to(config, kStepSeconds, rate);
  const double expected = step_flops(cut, cut.train.batch_size) / rate;
  const auto n_steps = std::clamp<int64_t>(static_cast<int64_t>(3 / expected), 2, kMostSteps);
  const double making = static_cast<double>(model::count_parameters(config.model).total) / kWeightsPerSecond;
  if (making + 3 * expected > kMostSeconds)
    return bound_of(config, gemm_rate, "a step of one sequence would take about " + human_seconds(making + expected));

  BenchOptions options;
  options.n_steps = n_steps;
  options.device = device_name;
  options.with_evaluation = true;
  const auto times = time_steps(cut, options);
  const double parts = times.parts.forward + times.parts.backward + times.parts.optimizer;
  const double passes = times.median() * (times.parts.forward + times.parts.backward) / parts,
               update = times.median() - passes;
  const double fewer = static_cast<double>(config.train.batch_size) / static_cast<double>(cut.train.batch_size);
  StepRate out;
  out.source = "measured";
  out.note = join_parts("measured: ", counted(static_cast<int64_t>(times.seconds.size()), "step"), " of ",
                        counted(cut.train.batch_size, "sequence"), " on ", ops::device_name(device), ", ",
                        counted(ops::n_threads(), "thread"));
  out.step_seconds = passes * fewer + update;
  out.evaluation_seconds = times.evaluation_seconds;
  out.forward_seconds_per_token =
      times.median() * times.parts.forward / parts / static_cast<double>(cut.tokens_per_step());
  return out;
}

Forecast forecast(const RunConfig& config, const StepRate& rate) {
  constexpr double kDiskBytesPerSecond = 200e6;  // written, synced and hashed on a slow disk
  Forecast out;
  DataSizes sizes;
  std::map<std::string, double> epochs;  // of each path, in the run so far
  out.checkpoint_bytes =
      4 * (static_cast<double>(model::count_parameters(config.model).total) + run_optimizer(config)->moment_floats());
  // Checkpoints that are neither a phase's end nor started from.
  int64_t n_others = 0;
  const int64_t save_period = config.period_steps(config.train.checkpoint_every);
  for (size_t i = 0; i < config.phases.size(); ++i) {
    const PhaseConfig& phase = config.phases[i];
    PhaseForecast now;
    now.name = phase.name;
    now.steps = phase.total_steps(config.train);
    now.tokens = static_cast<double>(now.steps * config.tokens_per_step());
    now.sources = sources_of(config, phase, now.tokens, sizes);
    for (auto& use : now.sources) {
      if (!use.repeats_on_purpose) epochs[use.path] += use.epochs;
      use.epochs_so_far = epochs[use.path];
    }
    now.training_seconds = static_cast<double>(now.steps) * rate.step_seconds;
    if (phase.eval) {
      const Evaluation once = evaluation_of(config, *phase.eval, sizes);
      const bool has_saturation =
          config.model.is_moe() && (i > 0 || phase.start);  // two models pass the sets once more
      const auto times = static_cast<double>(n_due(now.steps, config.period_steps(phase.eval->every)));
      const double once_seconds =
          rate.forward_seconds_per_token * once.tokens + rate.evaluation_seconds * static_cast<double>(once.sets);
      now.evaluation_tokens = once.tokens * times;
      now.evaluation_seconds = once_seconds * (times + (has_saturation ? 2 : 0));
    }
    const int64_t pinned = n_pinned(config, i, save_period);
    now.checkpoints = n_due(now.steps, save_period) + pinned;
    now.checkpoint_seconds = static_cast<double>(now.checkpoints) * out.checkpoint_bytes / kDiskBytesPerSecond;
    const int64_t stay = config.train.keep_last == 0 ? now.checkpoints : 1 + pinned;
    out.checkpoints += stay;
    n_others += now.checkpoints - stay;
    out.phases.push_back(std::move(now));
  }
  out.checkpoints += std::min(config.train.keep_last, n_others);
  out.missing = sizes.missing();
  return out;
}

double Forecast::seconds() const {
  double out = 0;
  for (const auto& phase : phases) out += phase.seconds();
  return out;
}

std::vector<std::string> Forecast::warnings() const {
  std::map<std::string, std::string> last;  // of each path: the run's epochs grow
  std::map<std::string, double> rounding;   // of each path: what a phase of whole steps may take beyond its part
  std::vector<std::string> order;
  for (const auto& phase : phases) {
    for (const auto& use : phase.sources) {
      if (use.repeats_on_purpose) continue;
      constexpr double kDoubles = 1e-9;
      rounding[use.path] += use.epochs / static_cast<double>(std::max<int64_t>(phase.steps, 1));
      if (use.epochs_so_far <= 1 || use.epochs_so_far - 1 < rounding[use.path] * (1 - kDoubles)) continue;
      if (!last.contains(use.path)) order.push_back(use.path);
      char text[32];
      std::snprintf(text, sizeof text, "%.2f", use.epochs_so_far);
      last[use.path] = "the source " + use.name + " is repeated: the run passes over " + use.path + " " + text +
                       " times by the end of phase " + phase.name;
    }
  }
  std::vector<std::string> out;
  for (const auto& path : order) out.push_back(last[path]);
  return out;
}

Json time_json(const RunConfig& config, const StepRate& rate, const Forecast& run) {
  double evaluation = 0, checkpoints = 0;
  for (const auto& phase : run.phases) {
    evaluation += phase.evaluation_seconds;
    checkpoints += phase.checkpoint_seconds;
  }
  return Json::Object{{"seconds", run.seconds()},
                      {"source", rate.source},
                      {"note", rate.note},
                      {"step_seconds", rate.step_seconds},
                      {"tokens_per_second", static_cast<double>(config.tokens_per_step()) / rate.step_seconds},
                      {"evaluation_seconds", evaluation},
                      {"checkpoint_seconds", checkpoints}};
}

Json disk_json(const Forecast& run) {
  return Json::Object{{"checkpoint_bytes", run.checkpoint_bytes},
                      {"checkpoints", run.checkpoints},
                      {"bytes", run.checkpoint_bytes * static_cast<double>(run.checkpoints)}};
}

Json phases_json(const Forecast& run) {
  Json out = Json::array();
  for (const auto& phase : run.phases) {
    Json sources = Json::array();
    for (const auto& use : phase.sources) {
      const bool is_known = use.data_tokens > 0;
      sources.push_back(Json::Object{{"name", use.name},
                                     {"path", use.path},
                                     {"objective", use.objective},
                                     {"tokens", use.tokens},
                                     {"data_tokens", is_known ? Json(use.data_tokens) : Json()},
                                     {"text_tokens", is_known ? Json(use.text_tokens) : Json()},
                                     {"epoch_tokens", is_known ? Json(use.epoch_tokens) : Json()},
                                     {"is_estimate", use.is_estimate},
                                     {"epochs", is_known ? Json(use.epochs) : Json()},
                                     {"epochs_so_far", is_known ? Json(use.epochs_so_far) : Json()}});
    }
    out.push_back(Json::Object{{"name", phase.name},
                               {"steps", phase.steps},
                               {"tokens", phase.tokens},
                               {"seconds", phase.seconds()},
                               {"evaluation_tokens", phase.evaluation_tokens},
                               {"checkpoints", phase.checkpoints},
                               {"sources", std::move(sources)}});
  }
  return out;
}

}  // namespace evenkeel::train
