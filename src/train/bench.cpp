#include "train/bench.h"

#include <chrono>

#include <ATen/ops/empty.h>
#include <sys/resource.h>

#include "core/log.h"
#include "core/rng.h"
#include "model/layout.h"
#include "ops/device.h"
#include "train/interrupt.h"
#include "train/memory.h"
#include "train/step.h"

namespace evenkeel::train {
namespace {

// Tokens uniform over the vocabulary.
data::Batch random_batch(const RunConfig& config, RngStream& rng) {
  data::Batch batch;
  const int64_t B = config.train.micro_batch_size, S = config.train.sequence_length;
  batch.tokens = at::empty({B, S}, at::kLong);
  batch.targets = at::empty({B, S}, at::kLong);
  for (auto* tensor : {&batch.tokens, &batch.targets})
    for (int64_t i = 0; i < B * S; ++i) tensor->mutable_data_ptr<int64_t>()[i] = static_cast<int64_t>(rng.below(static_cast<uint64_t>(config.model.vocab_size)));
  return batch;
}

std::unique_ptr<data::Loader> open_loader(const RunConfig& config, const BenchOptions& options) {
  if (!options.real_data) return nullptr;
  for (const auto& phase : config.phases) {
    if (!options.phase.empty() && phase.name != options.phase) continue;
    data::PhaseDraws draws;
    draws.shuffle = phase.shuffle;
    for (const auto& source : phase.data) draws.data.push_back({source.name, source.path.value, source.weight, source.path.where});
    const data::LoaderOptions loader{config.train.sequence_length, config.model.vocab_size, static_cast<uint64_t>(config.train.seed), config.train.separate_documents};
    return std::make_unique<data::Loader>(loader, draws, data::LoaderState{});
  }
  fail<ConfigError>("--phase: got '", options.phase, "'; need the name of a phase of the recipe");
}

}  // namespace

double StepTimes::median() const { return (seconds[(seconds.size() - 1) / 2] + seconds[seconds.size() / 2]) / 2; }

StepTimes time_steps(const RunConfig& config, const BenchOptions& options) {
  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  const auto device = ops::find_device(options.device);
  const model::Transformer model(config.model);
  RunConfig fresh = config;
  fresh.model_from.reset();  // speed does not depend on the values
  auto state = initial_state(fresh, model, device);
  const auto loader = open_loader(config, options);
  RngStream rng(static_cast<uint64_t>(config.train.seed), "bench");
  const int64_t n_micro = config.train.batch_size / config.train.micro_batch_size;

  StepTimes times;
  Progress progress("timing steps", static_cast<double>(options.n_steps + 1), "steps");
  auto timed_since = Clock::now();
  for (int64_t step = 0; step <= options.n_steps && !stop_requested(); ++step) {
    std::vector<data::Batch> batches;
    for (int64_t i = 0; i < n_micro; ++i) {
      auto batch = loader != nullptr ? loader->next(config.train.micro_batch_size) : random_batch(config, rng);
      batch.tokens = batch.tokens.to(device);
      batch.targets = batch.targets.to(device);
      if (batch.document_ids.defined()) batch.document_ids = batch.document_ids.to(device);
      batches.push_back(std::move(batch));
    }
    ops::synchronize(device);
    const auto begin = Clock::now();
    const auto report = train_step(model, config.optimizer, {}, batches, 1e-4, state);
    ops::synchronize(device);
    progress.update(static_cast<double>(step + 1));
    if (step == 0) {  // warm-up
      timed_since = Clock::now();
      continue;
    }
    times.seconds.push_back(seconds_since(begin));
    times.parts.forward += report.seconds.forward;
    times.parts.backward += report.seconds.backward;
    times.parts.optimizer += report.seconds.optimizer;
    for (const auto& counts : report.routing) {
      times.mri_sum += analysis::routing_stats(counts).mri;
      ++times.n_mri;
    }
    if (options.max_seconds > 0 && step >= kLeastSteps && seconds_since(timed_since) > options.max_seconds) break;
  }
  std::sort(times.seconds.begin(), times.seconds.end());
  return times;
}

Json bench(const RunConfig& config, const BenchOptions& options) {
  require_memory(estimate_memory(config).total(), "bench");
  const auto device = ops::find_device(options.device);
  const std::vector<int64_t> kSizes = {1024, 2048, 4096};
  double peak = ops::gemm_rate(device, kSizes);
  const auto times = time_steps(config, options);
  peak = std::max(peak, ops::gemm_rate(device, kSizes));

  const double flops = model::training_flops_per_token(config.model, config.train.sequence_length);
  const double rate = static_cast<double>(config.tokens_per_step()) / times.median();
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const auto per_step = [&](double sum) { return sum / static_cast<double>(times.seconds.size()); };
  Json out = Json::object();
  out["tokens_per_second"] = rate;
  out["step_seconds"] = Json::Object{{"median", times.median()}, {"min", times.seconds.front()}};
  out["breakdown_seconds"] = Json::Object{{"forward", per_step(times.parts.forward)}, {"backward", per_step(times.parts.backward)}, {"optimizer", per_step(times.parts.optimizer)}};
  out["flops_per_token"] = flops;
  out["gflops"] = flops * rate / 1e9;
  out["gemm_peak_gflops"] = peak / 1e9;
  out["mri_mean"] = times.n_mri > 0 ? Json(times.mri_sum / static_cast<double>(times.n_mri)) : Json();
  out["peak_rss_bytes"] = static_cast<int64_t>(usage.ru_maxrss) * 1024;
  out["device"] = ops::device_name(device);
  out["threads"] = ops::n_threads();
  out["steps"] = static_cast<int64_t>(times.seconds.size());
  return out;
}

}  // namespace evenkeel::train
