#include "train/resume.h"

#include <algorithm>

#include "checkpoint/manifest.h"
#include "core/counted.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "record/run_reader.h"
#include "train/recipe_changes.h"

namespace evenkeel::train {
namespace {

size_t phase_of(const TrainState& state) { return static_cast<size_t>(state.phase_index); }

// A recipe that was allowed to change must still have the checkpoint's place.
void require_position(const RunConfig& config, const ResumeOptions& options, const TrainState& state) {
  const auto first_steps = phase_first_steps(config);
  const bool fits = phase_of(state) < config.phases.size() &&
                    state.step == first_steps[phase_of(state)] - 1 + state.phase_step &&
                    state.step < first_steps[phase_of(state) + 1];
  require<ConfigError>(fits, options.run.string(), ": got a checkpoint at step ", state.step, ", step ",
                       state.phase_step, " of phase ", state.phase_index + 1,
                       ", which the changed recipe does not have (", joined(options.changes),
                       "); need the lengths of the phases so far as they were");
}

// Which samples come next is counted in samples of one length, in the order of one seed.
void require_same_order(const RunConfig& config, const TrainState& state) {
  if (state.records.empty()) return;
  const uint64_t seed = state.records.back().drawn.seed;
  require<ConfigError>(
      seed == state.seed, "train.seed: got ", config.train.seed, "; need ", seed,
      " as in the run so far: another seed is another order, in which samples are lost and others come twice");
}

bool is_change_of(const std::string& change, const std::string& key) {
  return change.starts_with(key + ".") || change.starts_with(key + ":");
}

// A checkpoint of an earlier version says neither what its counts are of nor in which order its cursors count: what the
// recipe said does.
void complete_old_state(const RunConfig& config, const ResumeOptions& options, const InputData& data,
                        TrainState& state) {
  auto& loader = state.loader;
  const bool is_old = std::any_of(loader.mixture.begin(), loader.mixture.end(),
                                  [](const auto& source) { return source.content.empty(); });
  if (!is_old) return;
  for (const auto& record : state.records)
    for (const auto& phase : config.phases)
      if (phase.name == record.name)
        for (const auto& source : phase.data)
          loader.shuffled[data.at(source.path.value).contents().hash] = record.shuffle;
  const std::string phase = "phase." + config.phases[phase_of(state)].name;
  const bool is_other = std::any_of(options.changes.begin(), options.changes.end(), [&](const auto& change) {
    return is_change_of(change, phase + ".data") || is_change_of(change, phase + ".replay");
  });
  if (is_other) loader.mixture.clear();
}

// Goes through the motions of drawing on, as the run will: a refusal comes from here. Takes over what a changed recipe
// means for the state.
void try_current_phase(const RunConfig& config, InputData& data, TrainState& state) {
  const PhaseConfig& phase = config.phases[phase_of(state)];
  const data::Sampler sampler(sampler_options(config, phase), phase_draws(config, phase, state.records), state.loader,
                              data.datasets());
  state.records.back() =
      continued_record(std::move(state.records.back()), {config, phase, state.loader, sampler}, data);
  state.loader = sampler.state();
}

// The phase that comes next, where it goes on from where the run is.
void try_next_phase(const RunConfig& config, const std::vector<PhaseStart>& starts, InputData& data,
                    const TrainState& state) {
  const size_t next = phase_of(state) + 1;
  if (next >= config.phases.size() || !starts[next].folder.empty() || starts[next].step != state.step) return;
  data::SamplerState loader = state.loader;
  loader.mixture.clear();
  loader.replay_draws = 0;
  const PhaseConfig& phase = config.phases[next];
  const data::Sampler check(sampler_options(config, phase), phase_draws(config, phase, state.records),
                            std::move(loader), data.datasets());
}

// Whether the moments of the checkpoint are of another optimizer and not needed: it is the last of its phase, and the
// next one goes on from it with fresh ones.
bool needs_no_moments(const RunConfig& config, const std::vector<PhaseStart>& starts,
                      const std::filesystem::path& checkpoint) {
  const auto path = checkpoint / "state.json";
  const Json json = read_json(path);
  return with_path_as<CheckpointError>(path, json, [&] {
    const int64_t step = json.at("step").as_int();
    const auto next = static_cast<size_t>(json.at("phase_index").as_int()) + 1;
    const bool is_followed = next < starts.size() && phase_first_steps(config)[next] == step + 1 &&
                             starts[next].folder.empty() && starts[next].step == step;
    return is_followed && starts[next].resets_optimizer &&
           optimizer_of_state(json) != run_optimizer(config)->options().at("kind").as_string();
  });
}

// The recipe was compared before a checkpoint that a killed save had left was in its place again: where that is the
// only one, there was nothing to compare with.
void require_unchanged(const RunConfig& config, const ResumeOptions& options, InputData& data) {
  if (!options.changes.empty()) return;  // these are allowed
  const auto changes = changes_since(options.run, config, data);
  require<ConfigError>(changes.empty(), options.run.string(), ": got a recipe that differs from the run's (",
                       joined(changes), "); need the same, or ", options.change_offer);
}

// ---- a run without any checkpoint: whether it once had one ----

// Steps between the checkpoints of a run; 0 where they come at the ends of phases only.
int64_t checkpoint_period(const Json& resolved, const std::filesystem::path& path) {
  return with_path(path, resolved, [&] {
    const Json& settings = resolved.at("train");
    const Json* every = settings.find("checkpoint_every");
    if (every == nullptr || !every->is_string()) return int64_t{0};
    RunConfig rhythm;
    rhythm.train.batch_size = settings.at("batch_size").as_int();
    rhythm.train.sequence_length = settings.at("sequence_length").as_int();
    return rhythm.period_steps(
        parse_duration(every->as_string(), Unit::steps, path.string() + ": train.checkpoint_every"));
  });
}

// What a run's lines say of checkpoints that it must have had.
struct LinesOfRun {
  int64_t reached = 0;  // step
  // The first line that was written after a checkpoint, as a sentence. "" where there is none.
  std::string after_a_save;
};

// The line of a step is written before the checkpoint of that step, and all other lines of the step after it: a kill
// between the two leaves a run that never had a checkpoint. `period`: steps between saves; 0 where it is not known.
LinesOfRun lines_of_run(const std::filesystem::path& metrics, int64_t period) {
  LinesOfRun out;
  if (!std::filesystem::exists(metrics)) return out;
  record::RunReader reader(metrics);
  int64_t phase_step = 0;
  while (const auto line = reader.next()) {
    const auto* row = std::get_if<record::StepRow>(&*line);
    const int64_t step = out.reached = reader.step();
    if (row != nullptr) phase_step = row->phase_step;
    if (!out.after_a_save.empty()) continue;
    const std::string reached = "metrics.jsonl reaches step " + std::to_string(step);
    const bool is_after = row != nullptr ? phase_step > period : step > 0 && phase_step >= period;
    if (row != nullptr && step > phase_step) {
      out.after_a_save = reached + ", of a second phase: the end of the first was saved";
    } else if (period > 0 && is_after) {
      out.after_a_save = reached + ", and a step was saved every " + std::to_string(period);
    } else if (std::holds_alternative<record::SaturationRow>(*line)) {
      out.after_a_save = reached + ", the end of a phase, which was saved";
    }
  }
  return out;
}

// The first line of log.txt that tells of a checkpoint: --max-hours, a signal and a collapse save at any step.
std::string line_of_log(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) return "";
  const std::string text = read_file(path);
  for (const auto line : whole_lines(text))
    for (const char* words : {": saved step ", "; the step is saved", "evenkeel: resumed at step "})
      if (line.find(words) != line.npos) return "log.txt says '" + std::string(line) + "'";
  return "";
}

// The first name in `folder` that begins like a checkpoint's.
std::string name_like_a_step(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  for (const auto& name : names)
    if (name.starts_with("step-") && name.size() > 5 && name[5] >= '0' && name[5] <= '9') return name;
  return "";
}

// CheckpointError where a run without a checkpoint once had one: to start over would empty its metrics.
void require_never_saved(const std::filesystem::path& run) {
  const auto metrics = run / "metrics.jsonl", resolved_path = run / "resolved.json", checkpoints = run / "checkpoints";
  const bool has_recipe = std::filesystem::exists(resolved_path);
  const auto lines = lines_of_run(metrics, has_recipe ? checkpoint_period(read_resolved(run), resolved_path) : 0);
  std::string evidence;
  if (const auto name = name_like_a_step(checkpoints); !name.empty())
    evidence = checkpoints.string() + " has " + name + ", which is no name of a checkpoint";
  if (evidence.empty() && std::filesystem::exists(run / "results.json"))
    evidence = "results.json says that the run was finished";
  if (evidence.empty() && lines.reached > 0 && has_recipe) {
    evidence = lines.after_a_save;
    if (evidence.empty() && read_resolved(run).find("changed") != nullptr)
      evidence = "resolved.json has a change of the recipe, which was made at a checkpoint";
    if (evidence.empty()) evidence = line_of_log(run / "log.txt");
  }
  if (evidence.empty()) return;
  fail<CheckpointError>(run.string(), ": got metrics.jsonl with ", counted(lines.reached, "step"),
                        " and no checkpoint in ", checkpoints.string(), ", where one must have been (", evidence,
                        "); need the checkpoints back under their names, as ", checkpoint::step_folder_name(3),
                        " for step 3, or another --out to start over");
}

}  // namespace

std::optional<Resume> find_resume(const RunConfig& config, const ResumeOptions& options,
                                  const std::vector<PhaseStart>& starts, InputData& data) {
  const auto newest = checkpoint::find_newest_whole(options.run);
  if (!newest) {
    require_never_saved(options.run);
    return std::nullopt;
  }
  require_unchanged(config, options, data);
  for (const auto& [folder, reason] : newest->misnamed)
    log_warning("passed over ", folder.string(), ", which stays as it is: ", reason);
  const model::Transformer model(config.model);
  const LoadOptions loading{.device = options.device,
                            .deep = false,
                            .resets_optimizer = needs_no_moments(config, starts, newest->checkpoint)};
  Resume out{load_checkpoint(newest->checkpoint, config, model, loading), newest->damaged};
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
  for (size_t i = phase_of(state) + (has_ended ? 1 : 0); i < config.phases.size(); ++i)
    require_repeatable(config, config.phases[i], state.records, data);
  return out;
}

}  // namespace evenkeel::train
