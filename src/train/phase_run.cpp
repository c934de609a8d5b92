#include "train/phase_run.h"

#include "train/starting_state.h"

namespace evenkeel::train {
namespace {

void add_record(const RunSetting& setting, TrainState& state) {
  const PhaseConfig& phase = setting.phase(state);
  PhaseRecord record;
  record.name = phase.name;
  record.start_step = setting.start(state).step;
  record.first_step = state.step + 1;
  record.shuffle = phase.shuffle;
  record.drawn.seed = state.seed;
  record.drawn.start_cursors = state.loader.cursors;
  record.drawn.replay_fraction = phase.replay ? phase.replay->fraction : 0;
  record.drawn.replay_seen = phase.repeats_seen();
  record_sources(phase, setting.data, record);
  state.records.push_back(std::move(record));
}

void begin_state(const RunSetting& setting, TrainState& state) {
  const PhaseStart& start = setting.start(state);
  if (!start.folder.empty() || start.step != state.step) load_start(setting, state);
  if (start.resets_optimizer) state.adam = optim::initial_adam_state(state.params);
  state.loader.mixture.clear();
  state.loader.replay_draws = 0;
  add_record(setting, state);
}

bool is_replayed(const std::string& source) { return source.starts_with("replay/"); }

}  // namespace

PhaseRun begin_phase(const RunSetting& setting, TrainState& state) {
  const RunConfig& config = setting.config;
  const PhaseConfig& phase = setting.phase(state);
  if (state.phase_step == 0) begin_state(setting, state);
  PhaseRun out{phase, phase_schedule(config, phase), phase.rate_factors(config.model), nullptr};
  for (size_t i = 0; i < state.params.size(); ++i) state.params.tensor(i).set_requires_grad(!out.factors.is_frozen(i));
  out.loader = std::make_unique<data::Loader>(loader_options(config, phase), phase_draws(config, phase, state.records),
                                              state.loader, setting.data.datasets());
  state.records.back().drawn.replay = out.loader->sampler().replay();
  return out;
}

std::vector<data::Batch> next_batches(const RunSetting& setting, PhaseRun& phase, TrainState& state) {
  const TrainSettings& train = setting.config.train;
  std::vector<data::Batch> batches;
  for (int64_t done = 0; done < train.batch_size; done += train.micro_batch_size) {
    batches.push_back(data::on_device(phase.loader->next(train.micro_batch_size), setting.device));
  }
  state.loader = phase.loader->state();
  for (const auto& [name, count] : source_counts(batches))
    if (!is_replayed(name)) state.records.back().drawn.draws += count;  // a later replay repeats the phase's own data
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
