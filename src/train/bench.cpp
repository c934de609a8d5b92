#include "train/bench.h"

#include <algorithm>
#include <chrono>

#include <ATen/ops/empty.h>
#include <sys/resource.h>
#include <time.h>

#include "core/cores.h"
#include "core/errors.h"
#include "core/log.h"
#include "model/layout.h"
#include "ops/device.h"
#include "train/interrupt.h"
#include "train/memory.h"
#include "train/memory_limit.h"
#include "train/phase.h"
#include "train/scoring.h"
#include "train/shortest_evaluation.h"
#include "train/step.h"

namespace evenkeel::train {
namespace {

std::unique_ptr<data::Loader> open_loader(const RunConfig& config, const BenchOptions& options,
                                          data::Datasets& datasets) {
  if (!options.real_data) return nullptr;
  require<ConfigError>(!config.phases.empty(),
                       "--real-data: got a recipe without a [[phase]]; need one with data, or no --real-data");
  for (const auto& phase : config.phases) {
    if (!options.phase.empty() && phase.name != options.phase) continue;
    require<ConfigError>(!phase.data.empty(), phase.where, ": got --real-data with phase '", phase.name,
                         "', which has no data; need data = [{name, path}] in it, or no --real-data");
    data::PhaseDraws draws;
    draws.shuffle = phase.shuffle;
    draws.data = source_specs(config, phase, phase.data);
    return std::make_unique<data::Loader>(loader_options(config, phase), draws, data::SamplerState{}, datasets);
  }
  fail<ConfigError>("--phase: got '", options.phase, "'; need the name of a phase of the recipe");
}

// CPU time of all threads of this process so far.
double process_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

data::Batch random_batch(const RunConfig& config, RngStream& rng) {
  data::Batch batch;
  const int64_t B = config.train.micro_batch_size, S = config.train.sequence_length;
  batch.tokens = at::empty({B, S}, at::kLong);
  batch.targets = at::empty({B, S}, at::kLong);
  for (auto* tensor : {&batch.tokens, &batch.targets})
    for (int64_t i = 0; i < B * S; ++i)
      tensor->mutable_data_ptr<int64_t>()[i] =
          static_cast<int64_t>(rng.below(static_cast<uint64_t>(config.model.vocab_size)));
  if (!config.train.separate_documents && !trains_with_masks(config)) return batch;
  constexpr int64_t kDocumentTokens = 128;  // the work does not depend on where documents end
  batch.document_ids = at::empty({B, S}, at::kInt);
  for (int64_t i = 0; i < B * S; ++i)
    batch.document_ids.mutable_data_ptr<int32_t>()[i] = static_cast<int32_t>(i / kDocumentTokens);
  return batch;
}

double StepTimes::median() const { return (seconds[(seconds.size() - 1) / 2] + seconds[seconds.size() / 2]) / 2; }

StepTimes time_steps(const RunConfig& config, const BenchOptions& options) {
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  const auto device = ops::find_device(options.device);
  data::Datasets datasets;
  const auto loader = open_loader(config, options, datasets);
  const model::Transformer model(config.model);
  RunConfig fresh = config;
  fresh.model_from.reset();  // speed does not depend on the values
  const auto optimizer = run_optimizer(config);
  auto state = initial_state(fresh, model, device);
  RngStream rng(static_cast<uint64_t>(config.train.seed), "bench");
  const int64_t n_micro = config.train.batch_size / config.train.micro_batch_size;

  StepTimes times;
  Progress progress("timing steps", static_cast<double>(options.n_steps + 1), "steps");
  auto timed_since = Clock::now();
  for (int64_t step = 0; step <= options.n_steps && !stop_requested(); ++step) {
    std::vector<data::Batch> batches;
    for (int64_t i = 0; i < n_micro; ++i) {
      auto batch = loader != nullptr ? loader->next(config.train.micro_batch_size) : random_batch(config, rng);
      batches.push_back(data::on_device(std::move(batch), device));
    }
    ops::synchronize(device);
    const auto wait_before = core_wait_seconds();
    const double cpu_before = process_cpu_seconds();
    const auto begin = Clock::now();
    const auto report = train_step(model, {*optimizer, 1e-4, {}, config.train.logit_z_coefficient}, batches, state);
    ops::synchronize(device);
    const double seconds = seconds_since(begin), cpu_seconds = process_cpu_seconds() - cpu_before;
    const auto wait_after = core_wait_seconds();
    progress.update(static_cast<double>(step + 1));
    if (step == 0) {  // warm-up
      timed_since = Clock::now();
      continue;
    }
    times.seconds.push_back(seconds);
    times.cpu_seconds += cpu_seconds;
    if (wait_before && wait_after)
      times.core_wait_seconds = times.core_wait_seconds.value_or(0) + *wait_after - *wait_before;
    times.parts.forward += report.seconds.forward;
    times.parts.backward += report.seconds.backward;
    times.parts.optimizer += report.seconds.optimizer;
    for (const auto& counts : report.routing) {
      times.mri_sum += analysis::routing_stats(counts).mri;
      ++times.n_mri;
    }
    if (options.max_seconds > 0 && step >= options.least_steps && seconds_since(timed_since) > options.max_seconds)
      break;
  }
  std::sort(times.seconds.begin(), times.seconds.end());
  if (options.with_evaluation) times.evaluation_seconds = shortest_evaluation_seconds(config, model, state);
  return times;
}

Json bench(const RunConfig& config, const BenchOptions& options) {
  require<ConfigError>(options.phase.empty() || options.real_data, "--phase: got '", options.phase,
                       "' without --real-data; need both, or neither: random tokens are of no phase");
  data::Datasets datasets;
  open_loader(config, options, datasets);  // what it refuses is said before anything takes seconds
  require_memory(estimate_memory(config).total(), "bench");
  const auto device = ops::find_device(options.device);
  const std::vector<int64_t> kSizes = {1024, 2048, 4096};
  double peak = ops::gemm_rate(device, kSizes);
  const auto times = time_steps(config, options);
  const auto n_steps = static_cast<int64_t>(times.seconds.size());
  require<Interrupted>(n_steps == options.n_steps, "stopped by a signal: bench had ", n_steps, " of ", options.n_steps,
                       " timed steps; the command again starts over");
  peak = std::max(peak, ops::gemm_rate(device, kSizes));

  const double flops = model::training_flops_per_token(config.model, config.train.sequence_length);
  const double rate = static_cast<double>(config.tokens_per_step()) / times.median();
  const auto per_step = [&](double sum) { return sum / static_cast<double>(times.seconds.size()); };
  Json out = Json::object();
  out["tokens_per_second"] = rate;
  out["step_seconds"] = Json::Object{{"median", times.median()}, {"min", times.seconds.front()}};
  out["breakdown_seconds"] = Json::Object{{"forward", per_step(times.parts.forward)},
                                          {"backward", per_step(times.parts.backward)},
                                          {"optimizer", per_step(times.parts.optimizer)}};
  out["flops_per_token"] = flops;
  out["gflops"] = flops * rate / 1e9;
  out["gemm_peak_gflops"] = peak / 1e9;
  out["mri_mean"] = times.n_mri > 0 ? Json(times.mri_sum / static_cast<double>(times.n_mri)) : Json();
  out["peak_rss_bytes"] = peak_rss_bytes();
  out["device"] = ops::device_name(device);
  out["threads"] = ops::n_threads();
  out["steps"] = n_steps;
  return out;
}

}  // namespace evenkeel::train
