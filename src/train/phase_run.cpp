#include "train/phase_run.h"

#include "train/starting_state.h"

namespace evenkeel::train {
namespace {

void begin_state(const RunSetting& setting, const optim::Optimizer& optimizer, TrainState& state) {
  const PhaseStart& start = setting.start(state);
  if (!start.folder.empty() || start.step != state.step) load_start(setting, state);
  if (start.resets_optimizer) state.optimizer = optim::initial_optimizer_state(optimizer, state.params);
  state.loader.mixture.clear();
  state.loader.replay_draws = 0;
}

}  // namespace

PhaseRun begin_phase(const RunSetting& setting, TrainState& state) {
  const RunConfig& config = setting.config;
  const PhaseConfig& phase = setting.phase(state);
  const bool begins = state.phase_step == 0;
  PhaseRun out{phase, phase_schedule(config, phase), run_optimizer(config), phase.rate_factors(config.model), nullptr};
  if (begins) begin_state(setting, *out.optimizer, state);
  for (size_t i = 0; i < state.params.size(); ++i) state.params.tensor(i).set_requires_grad(!out.factors.is_frozen(i));
  out.loader = std::make_unique<data::Loader>(loader_options(config, phase), phase_draws(config, phase, state.records),
                                              state.loader, setting.data.datasets());
  if (begins)
    state.records.push_back(
        new_record({config, phase, setting.start(state), state, out.loader->sampler()}, setting.data));
  return out;
}

std::vector<data::Batch> next_batches(const RunSetting& setting, PhaseRun& phase, TrainState& state) {
  const TrainSettings& train = setting.config.train;
  std::vector<data::Batch> batches;
  for (int64_t done = 0; done < train.batch_size; done += train.micro_batch_size) {
    batches.push_back(data::on_device(phase.loader->next(train.micro_batch_size), setting.device));
  }
  state.loader = phase.loader->state();
  count_draws(state.records.back(), source_counts(batches));
  return batches;
}

std::map<std::string, int64_t> source_counts(const std::vector<data::Batch>& batches) {
  std::map<std::string, int64_t> out;
  for (const auto& batch : batches)
    for (const auto& [name, count] : batch.sources) out[name] += count;
  return out;
}

bool is_due(const RunConfig& config, const Duration& every, const TrainState& state) {
  const int64_t period = config.period_steps(every);
  return period > 0 && state.phase_step % period == 0;
}

bool is_evaluation_due(const RunSetting& setting, const TrainState& state) {
  const auto& eval = setting.phase(state).eval;
  return eval && (setting.phase_has_ended(state) || is_due(setting.config, eval->every, state));
}

}  // namespace evenkeel::train
