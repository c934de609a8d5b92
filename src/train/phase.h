// Where the phases of a run lie, what each starts from, and what it draws from.
#pragma once

#include <filesystem>
#include <vector>

#include "data/loader.h"
#include "train/state.h"

namespace evenkeel::train {

class InputData;

// First global step (from 1) of each phase and, last, the step after the end.
std::vector<int64_t> phase_first_steps(const RunConfig& config);

// Where phase `index` starts: a folder outside of the run, or a step of this run (0 = initialisation).
struct PhaseStart {
  std::filesystem::path folder;  // empty: the run's own step
  int64_t step = 0;
  bool resets_optimizer = false;
};
// The folder outside of the run that phase `index` starts from, absolute; empty where it is a step of the run.
std::string external_start(const RunConfig& config, size_t index);
// ConfigError for a name, step or folder that is not there.
PhaseStart phase_start(const RunConfig& config, size_t index);

// The checkpoint folder of `step` of what a phase starts from: a step of `run`, or of the run outside, whose "last" may
// be a later one by now.
std::filesystem::path folder_of_step(const std::filesystem::path& run, const PhaseStart& start, int64_t step);

data::SamplerOptions sampler_options(const RunConfig& config, const PhaseConfig& phase);
// How the loader of a phase draws, and what it makes of it.
data::LoaderOptions loader_options(const RunConfig& config, const PhaseConfig& phase);

// ConfigError naming the key where `phase` is to repeat what an earlier phase saw and cannot: that phase drew from a
// mixture that was changed on the way, or its sources in the recipe are no longer those that it drew from. Nothing is
// known of phases that have not begun.
void require_repeatable(const RunConfig& config, const PhaseConfig& phase, const std::vector<PhaseRecord>& records,
                        const InputData& data);

// Sources of a phase, its data or replay.data, as they are drawn; `prefix` comes before their names.
std::vector<data::SourceSpec> source_specs(const RunConfig& config, const PhaseConfig& phase,
                                           const std::vector<DataSource>& sources, const std::string& prefix = "");
// What a phase draws from, with the replay resolved: what an earlier phase drew keeps that phase's objectives.
// `records`: the phases begun so far; this one may be the last.
data::PhaseDraws phase_draws(const RunConfig& config, const PhaseConfig& phase,
                             const std::vector<PhaseRecord>& records);

}  // namespace evenkeel::train
