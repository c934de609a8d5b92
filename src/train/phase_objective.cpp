#include "train/phase_objective.h"

#include "data/objectives/objective.h"
#include "model/attention/attention.h"
#include "train/config.h"

namespace evenkeel::train {

namespace {

data::ObjectivePlace place_in(const RunConfig& config) {
  return {config.train.sequence_length, config.model.vocab_size};
}

}  // namespace

std::unique_ptr<data::Objective> phase_objective(const RunConfig& config, const PhaseConfig& phase) {
  return data::make_objective(phase.objective, place_in(config));
}

std::unique_ptr<data::Objective> source_objective(const RunConfig& config, const PhaseConfig& phase,
                                                  const DataSource& source) {
  return data::make_objective(source.objective.is_empty() ? phase.objective : source.objective, place_in(config));
}

void check_objectives(const RunConfig& config) {
  const bool takes_masks = model::takes_masks(config.model);
  const auto check = [&](const data::Objective& objective, const std::string& where, const std::string& path) {
    require<ConfigError>(takes_masks || !objective.needs_masks(), where, ": got ", path, ".objective.kind = '",
                         objective.kind(),
                         "'; need one such as 'causal': this model.attention.kind takes no mask, so that it can "
                         "neither see a prefix as a whole nor keep segments apart");
  };
  for (const auto& phase : config.phases) {
    const std::string path = "phase." + phase.name;
    check(*phase_objective(config, phase), phase.objective.where, path);
    const auto check_sources = [&](const std::vector<DataSource>& sources, const std::string& of) {
      for (const auto& source : sources)
        if (!source.objective.is_empty())
          check(*source_objective(config, phase, source), source.objective.where, of + ".data." + source.name);
    };
    check_sources(phase.data, path);
    if (phase.replay) check_sources(phase.replay->data, path + ".replay");
  }
}

void resolve_objectives(const RunConfig& config, const PhaseConfig& phase, const std::vector<DataSource>& sources,
                        Json& json) {
  for (size_t i = 0; i < sources.size(); ++i) {
    Json& source = json.as_array()[i];
    if (sources[i].objective.is_empty()) source.erase("objective");
    if (!sources[i].objective.is_empty()) source["objective"] = source_objective(config, phase, sources[i])->options();
  }
}

}  // namespace evenkeel::train
