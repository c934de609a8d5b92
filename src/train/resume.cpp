#include "train/resume.h"

#include <algorithm>

#include "checkpoint/manifest.h"
#include "core/log.h"
#include "train/recipe_changes.h"

namespace evenkeel::train {
namespace {

size_t phase_of(const TrainState& state) { return static_cast<size_t>(state.phase_index); }

// A recipe that was allowed to change must still have the checkpoint's place.
void require_position(const RunConfig& config, const ResumeOptions& options, const TrainState& state) {
  const auto first_steps = phase_first_steps(config);
  const bool fits = phase_of(state) < config.phases.size() && state.step == first_steps[phase_of(state)] - 1 + state.phase_step && state.step < first_steps[phase_of(state) + 1];
  require<ConfigError>(fits, options.run.string(), ": got a checkpoint at step ", state.step, ", step ", state.phase_step, " of phase ", state.phase_index + 1,
                       ", which the changed recipe does not have (", joined(options.changes), "); need the lengths of the phases so far as they were");
}

// Which samples come next is counted in samples of one length, in the order of one seed.
void require_same_order(const RunConfig& config, const TrainState& state) {
  if (state.records.empty()) return;
  const uint64_t seed = state.records.back().drawn.seed;
  require<ConfigError>(seed == state.seed, "train.seed: got ", config.train.seed, "; need ", seed, " as in the run so far: another seed is another order, in which samples are lost and others come twice");
}

bool is_change_of(const std::string& change, const std::string& key) { return change.starts_with(key + ".") || change.starts_with(key + ":"); }

// A checkpoint of an earlier version says neither what its counts are of nor in which order its cursors count: what the recipe said does.
void complete_old_state(const RunConfig& config, const ResumeOptions& options, const InputData& data, TrainState& state) {
  auto& loader = state.loader;
  const bool is_old = std::any_of(loader.mixture.begin(), loader.mixture.end(), [](const auto& source) { return source.content.empty(); });
  if (!is_old) return;
  for (const auto& record : state.records)
    for (const auto& phase : config.phases)
      if (phase.name == record.name)
        for (const auto& source : phase.data) loader.shuffled[data.at(source.path.value).contents().hash] = record.shuffle;
  const std::string phase = "phase." + config.phases[phase_of(state)].name;
  const bool is_other = std::any_of(options.changes.begin(), options.changes.end(), [&](const auto& change) { return is_change_of(change, phase + ".data") || is_change_of(change, phase + ".replay"); });
  if (is_other) loader.mixture.clear();
}

// Goes through the motions of drawing on, as the run will: a refusal comes from here. Takes over what a changed recipe means for the state.
void try_current_phase(const RunConfig& config, InputData& data, TrainState& state) {
  const PhaseConfig& phase = config.phases[phase_of(state)];
  const bool had_mixture = !state.loader.mixture.empty();
  const data::Loader loader(loader_options(config), phase_draws(config, phase, state.records), state.loader, data.datasets());
  PhaseRecord& record = state.records.back();
  const bool seen = phase.replay && phase.replay->mode == "seen";
  if (loader.counts_anew() || !had_mixture || seen != record.drawn.replay_seen) record.has_changed = record.has_changed || record.drawn.draws > 0;
  record.sources = record_sources(phase);
  record.contents = contents_of(phase, data);
  state.loader = loader.state();
}

// The phase that comes next, where it goes on from where the run is.
void try_next_phase(const RunConfig& config, const std::vector<PhaseStart>& starts, InputData& data, const TrainState& state) {
  const size_t next = phase_of(state) + 1;
  if (next >= config.phases.size() || !starts[next].folder.empty() || starts[next].step != state.step) return;
  auto records = state.records;
  records.push_back({.name = config.phases[next].name});
  data::LoaderState loader = state.loader;
  loader.mixture.clear();
  loader.replay_draws = 0;
  const data::Loader check(loader_options(config), phase_draws(config, config.phases[next], records), std::move(loader), data.datasets());
}

}  // namespace

std::optional<Resume> find_resume(const RunConfig& config, const ResumeOptions& options, const std::vector<PhaseStart>& starts, InputData& data) {
  const auto newest = checkpoint::find_newest_whole(options.run);
  if (!newest) return std::nullopt;
  const model::Transformer model(config.model);
  Resume out{load_checkpoint(newest->checkpoint, config, model, options.device, /*deep=*/false), newest->damaged};
  TrainState& state = out.state;
  require_position(config, options, state);
  require_same_order(config, state);
  complete_old_state(config, options, data, state);
  const auto first_steps = phase_first_steps(config);
  const bool has_ended = state.step + 1 >= first_steps[phase_of(state) + 1];
  if (has_ended) {
    try_next_phase(config, starts, data, state);
  } else {
    try_current_phase(config, data, state);
  }
  for (size_t i = phase_of(state) + (has_ended ? 1 : 0); i < config.phases.size(); ++i) require_repeatable(config, config.phases[i], state.records, data);
  return out;
}

}  // namespace evenkeel::train
