#include "train/phase.h"

#include <algorithm>

#include "checkpoint/families.h"
#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "train/inputs.h"

namespace evenkeel::train {

std::vector<int64_t> phase_first_steps(const RunConfig& config) {
  std::vector<int64_t> first = {1};
  for (const auto& phase : config.phases) first.push_back(first.back() + phase.total_steps(config.train));
  return first;
}

std::string external_start(const RunConfig& config, size_t index) {
  const auto& start = config.phases[index].start;
  if (!start || start->from.empty()) return "";
  for (size_t i = 0; i < index; ++i)
    if (config.phases[i].name == start->from) return "";
  const fs::path given(start->from);
  return (given.is_absolute() ? given : fs::path(start->folder) / given).lexically_normal().string();
}

PhaseStart phase_start(const RunConfig& config, size_t index) {
  const auto first_steps = phase_first_steps(config);
  const PhaseConfig& phase = config.phases[index];
  PhaseStart out;
  if (!phase.start) {
    out.step = first_steps[index] - 1;
    return out;
  }
  const StartConfig& start = *phase.start;
  out.resets_optimizer = start.optimizer == OptimizerStart::reset;
  const std::optional<int64_t> step = start.step.number;
  std::string earlier;
  for (size_t i = 0; i < index; ++i) {
    add_to_list(earlier, config.phases[i].name);
    const bool is_previous = start.from.empty() && i + 1 == index;
    if (config.phases[i].name != start.from && !is_previous) continue;
    const int64_t n_steps = first_steps[i + 1] - first_steps[i];
    require<ConfigError>(!step || (*step >= first_steps[i] && *step < first_steps[i + 1]), phase.place("start.step"),
                         ": got start.step = ", *step, "; need \"last\" or a step of phase '", config.phases[i].name,
                         "', ", first_steps[i], "..", first_steps[i] + n_steps - 1);
    out.step = step.value_or(first_steps[i + 1] - 1);
    return out;
  }
  out.folder = external_start(config, index);
  require<ConfigError>(fs::is_directory(out.folder), phase.place("start.from"), ": got start.from = '", start.from,
                       "'; need an earlier phase (", earlier.empty() ? "there is none" : earlier,
                       "), or the folder of a run or checkpoint");
  if (!checkpoint::is_hf_folder(out.folder)) {
    out.folder = checkpoint::find_checkpoint(out.folder, step);
    const fs::path state = out.folder / "state.json";
    const Json json = read_json(state);
    out.step = with_path(state, json, [&] { return json.at("step").as_int(); });
  }
  return out;
}

fs::path folder_of_step(const fs::path& run, const PhaseStart& start, int64_t step) {
  if (start.folder.empty()) return run / "checkpoints" / checkpoint::step_folder_name(step);
  return start.step == step ? start.folder : start.folder.parent_path() / checkpoint::step_folder_name(step);
}

data::SamplerOptions sampler_options(const RunConfig& config, const PhaseConfig& phase) {
  return {config.train.sequence_length, config.model.vocab_size, static_cast<uint64_t>(config.train.seed),
          phase_objective(config, phase)};
}

data::LoaderOptions loader_options(const RunConfig& config, const PhaseConfig& phase) {
  return {sampler_options(config, phase), config.train.separate_documents};
}

namespace {

// The phase of the recipe that `phase` replays, where it is one of the recipe and not one that a start brought along.
const PhaseConfig* replayed_phase(const RunConfig& config, const PhaseConfig& phase) {
  const PhaseConfig* found = nullptr;
  for (size_t i = 0; i < config.phases.size() && config.phases[i].name != phase.name; ++i)
    if (config.phases[i].name == phase.replay->from) found = &config.phases[i];
  return found;
}

// The last phase of the name that has begun, `phase` itself left out.
const PhaseRecord* replayed_record(const PhaseConfig& phase, const std::vector<PhaseRecord>& records) {
  const PhaseRecord* found = nullptr;
  for (const auto& record : records)
    if (record.name == phase.replay->from && record.name != phase.name) found = &record;
  return found;
}

}  // namespace

void require_repeatable(const RunConfig& config, const PhaseConfig& phase, const std::vector<PhaseRecord>& records,
                        const InputData& data) {
  if (!phase.repeats_seen() || phase.replay->fraction == 0) return;
  const PhaseRecord* record = replayed_record(phase, records);
  const PhaseConfig* earlier = replayed_phase(config, phase);
  if (record == nullptr || earlier == nullptr) return;
  const std::string offer = "; need mode = \"fresh\" in phase." + phase.name + ".replay, or the mixture as it was";
  require<ConfigError>(!record->has_changed, "phase.", record->name,
                       ".data: got a mixture that was changed after some of it was drawn, and phase '", phase.name,
                       "' is to repeat what was seen", offer);
  const auto is_same_source = [](const RecordedSource& now, const RecordedSource& then) {
    return now.spec.weight == then.spec.weight && now.objective == then.objective &&
           (then.content.empty() ? now.spec.name == then.spec.name : now.content == then.content);
  };
  const auto now = recorded_sources(config, *earlier, data);
  const bool is_same =
      std::equal(now.begin(), now.end(), record->sources.begin(), record->sources.end(), is_same_source);
  require<ConfigError>(is_same, "phase.", record->name,
                       ".data: got other sources, weights, objectives or contents than it drew from, and phase '",
                       phase.name, "' is to repeat what was seen", offer);
}

std::vector<data::SourceSpec> source_specs(const RunConfig& config, const PhaseConfig& phase,
                                           const std::vector<DataSource>& sources, const std::string& prefix) {
  std::vector<data::SourceSpec> out;
  for (const auto& source : sources)
    out.push_back({prefix + source.name, source.path.value, source.weight, source.path.where,
                   source_objective(config, phase, source)});
  return out;
}

data::PhaseDraws phase_draws(const RunConfig& config, const PhaseConfig& phase,
                             const std::vector<PhaseRecord>& records) {
  data::PhaseDraws draws;
  draws.data = source_specs(config, phase, phase.data);
  draws.shuffle = draws.replay_shuffle = phase.shuffle;
  if (!phase.replay || phase.replay->fraction == 0) return draws;
  const auto& replay = *phase.replay;
  draws.replay_fraction = replay.fraction;
  draws.replay_seen = phase.repeats_seen();
  if (!replay.data.empty()) {
    draws.replay = source_specs(config, phase, replay.data, "replay/");
    return draws;
  }
  // The recipe's own phase says where its data lies now; what it has drawn is in its record.
  const PhaseConfig* earlier = replayed_phase(config, phase);
  const PhaseRecord* record = replayed_record(phase, records);
  std::string known;
  for (const auto& before : records)
    if (before.name != phase.name) add_to_list(known, before.name);
  require<ConfigError>(record != nullptr, phase.place("replay.from"), ": got replay.from = '", replay.from,
                       "'; need a phase that came before: ", known.empty() ? "none" : known);
  if (earlier != nullptr) {
    draws.replay = source_specs(config, *earlier, earlier->data, "replay/");
  } else {
    for (const auto& source : record->sources) {
      draws.replay.push_back(source.spec);
      draws.replay.back().name = "replay/" + source.spec.name;
      draws.replay.back().objective = data::make_objective(config_from_json(source.objective, source.spec.where),
                                                           {config.train.sequence_length, config.model.vocab_size});
    }
  }
  draws.replay_shuffle = record->shuffle;
  draws.past = record->drawn;
  return draws;
}

}  // namespace evenkeel::train
