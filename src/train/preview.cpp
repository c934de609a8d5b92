#include "train/preview.h"

#include <set>

#include "checkpoint/model_source.h"
#include "core/errors.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "train/interrupt.h"
#include "train/starting_state.h"
#include "train/state.h"

namespace evenkeel::train {
namespace {

// What a start from outside of the run had drawn.
TrainState drawn_outside(const std::filesystem::path& folder, const RunConfig& config) {
  const auto source = checkpoint::open_model(folder, std::nullopt, /*deep=*/false);
  TrainState out;
  if (!source.has_history) return out;
  const std::string where = (source.folder / "state.json").string();
  with_path_as<CheckpointError>(where, source.state,
                                [&] { out.loader = data::sampler_state_from_json(source.state.at("loader")); });
  out.records = read_records(source.state, where, config.train.seed);
  return out;
}

// A run that draws and does not train: the state of its loader and its records, from phase to phase.
class DryRun {
 public:
  DryRun(const RunConfig& config, const std::vector<PhaseStart>& starts, InputData& data)
      : config_(config), starts_(starts), data_(data) {
    state_.seed = static_cast<uint64_t>(config.train.seed);
    for (const auto& start : starts)
      if (start.folder.empty()) wanted_.insert(start.step);
    if (wanted_.contains(0)) saved_[0] = {};
  }
  const TrainState& state() const { return state_; }

  // The state is that in which the phase begins, as begin_phase makes it.
  void begin(size_t index) {
    const PhaseStart& start = starts_[index];
    state_.phase_index = static_cast<int64_t>(index);
    if (!start.folder.empty()) {
      take_draws(start, drawn_outside(start.folder, config_), state_);
    } else if (start.step != state_.step) {
      TrainState then;
      std::tie(then.loader, then.records) = std::pair(saved_.at(start.step).loader, saved_.at(start.step).records);
      take_draws(start, std::move(then), state_);
    }
    state_.loader.mixture.clear();
    state_.loader.replay_draws = 0;
  }

  // The whole phase.
  void draw(size_t index, const std::function<void()>& on_step) {
    begin(index);
    const PhaseConfig& phase = config_.phases[index];
    data::Sampler sampler(sampler_options(config_, phase), phase_draws(config_, phase, state_.records), state_.loader,
                          data_.datasets());
    state_.records.push_back(new_record({config_, phase, starts_[index], state_, sampler}, data_));
    for (int64_t n_steps = phase.total_steps(config_.train); n_steps > 0; --n_steps) {
      std::map<std::string, int64_t> sources;
      for (int64_t row = 0; row < config_.train.batch_size; ++row) ++sources[sampler.next().source];
      count_draws(state_.records.back(), sources);
      ++state_.step;
      if (wanted_.contains(state_.step)) saved_[state_.step] = {sampler.state(), state_.records};
      on_step();
    }
    state_.loader = sampler.state();
  }

 private:
  struct Drawn {
    data::SamplerState loader = {};
    std::vector<PhaseRecord> records = {};
  };
  const RunConfig& config_;
  const std::vector<PhaseStart>& starts_;
  InputData& data_;
  TrainState state_;          // without a model
  std::set<int64_t> wanted_;  // steps that phases start from
  std::map<int64_t, Drawn> saved_;
};

// The recipe up to a phase, without what is not drawn from.
RunConfig until_phase(const RunConfig& config, size_t index) {
  RunConfig out = config;
  out.phases.resize(index + 1);
  for (auto& phase : out.phases) phase.eval.reset();
  return out;
}

}  // namespace

Preview::Preview(const RunConfig& whole, size_t index, InputData& data) {
  const RunConfig config = until_phase(whole, index);
  for (const auto& warning : data.open(config)) log_warning(warning);
  const auto starts = check_starts(config, data);
  for (const auto& warning : starts.warnings) log_warning(warning);
  DryRun run(config, starts.of_phases, data);
  if (index > 0) {
    int64_t n_steps = 0, n_done = 0;
    for (size_t i = 0; i < index; ++i) n_steps += config.phases[i].total_steps(config.train);
    Progress progress("drawing what comes before", static_cast<double>(n_steps), "steps");
    for (size_t i = 0; i < index; ++i)
      run.draw(i, [&] {
        progress.update(static_cast<double>(++n_done));
        require<Interrupted>(!stop_requested(), "stopped by a signal before phase ", config.phases[index].name,
                             " was reached");
      });
  }
  run.begin(index);
  const PhaseConfig& phase = config.phases[index];
  const auto draws = phase_draws(config, phase, run.state().records);
  const auto options = loader_options(config, phase);
  loader_ = std::make_unique<data::Loader>(options, draws, run.state().loader, data.datasets());
  for (const auto* specs : {&draws.data, &draws.replay})
    for (const auto& spec : *specs)
      sources_[spec.name] = {spec.objective ? spec.objective : options.objective, &data.at(spec.path)};
}

PreviewedSequence Preview::next() {
  PreviewedSequence out;
  out.batch = loader_->next(1);
  out.source = out.batch.sources.begin()->first;
  const Source& source = sources_.at(out.source);
  out.objective = source.objective.get();
  out.dataset = source.dataset;
  return out;
}

}  // namespace evenkeel::train
