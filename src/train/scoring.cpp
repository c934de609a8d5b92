#include "train/scoring.h"

#include <algorithm>

#include "model/attention/attention.h"

namespace evenkeel::train {
namespace {

std::unique_ptr<data::Objective> objective_of(const RunConfig& config, const EvalSource& source) {
  return data::make_objective(source.objective, {config.train.sequence_length, config.model.vocab_size});
}

const std::string& place_of_set(const EvalSource& source) {
  return source.objective.is_empty() ? source.path.where : source.objective.where;
}

// Of one kind, and with one value of each option that is given.
template <class IsGiven>
bool same_options(const Json& left, const Json& right, const IsGiven& is_given) {
  if (left.at("kind") != right.at("kind")) return false;
  return std::all_of(left.as_object().begin(), left.as_object().end(), [&](const auto& option) {
    return !is_given(option.first) || option.second == right.at(option.first);
  });
}

}  // namespace

std::shared_ptr<const data::Objective> scoring_objective(const RunConfig& config, const EvalSource& source) {
  if (source.objective.is_empty()) return nullptr;
  std::shared_ptr<const data::Objective> out = objective_of(config, source);
  return out->kind() == data::kObjectiveTable.default_kind ? nullptr : out;
}

void ScoringCheck::add(const RunConfig& config, const std::string& arm) {
  const std::string of_arm = arm.empty() ? "" : " of arm '" + arm + "'";
  for (const auto& phase : config.phases) {
    if (!phase.eval) continue;
    for (const auto& source : phase.eval->data) {
      const Json options = objective_of(config, source)->options();
      const auto& before =
          by_name_.emplace(source.name, Scored{"phase '" + phase.name + "'" + of_arm, options, source.objective})
              .first->second;
      const auto is_given = [&](const std::string& key) {
        return before.config.find(key) != nullptr || source.objective.find(key) != nullptr;
      };
      require<ConfigError>(same_options(before.options, options, is_given), place_of_set(source), ": got phase.",
                           phase.name, ".eval.data with '", source.name, "' scored by ", options.dump(), of_arm,
                           ", which ", before.by, " scores by ", before.options.dump(),
                           "; need another name for one of them, since losses of one name are held against each other");
    }
  }
}

void check_eval_objectives(const RunConfig& config) {
  for (const auto& phase : config.phases) {
    if (!phase.eval) continue;
    for (const auto& source : phase.eval->data) {
      const auto objective = objective_of(config, source);
      require<ConfigError>(!objective->needs_masks() || model::takes_masks(config.model), place_of_set(source),
                           ": got eval data '", source.name, "' with objective.kind = '", objective->kind(),
                           "'; need one such as 'causal': this model.attention.kind takes no mask, so that it can "
                           "neither see a prefix as a whole nor keep segments apart");
    }
  }
  ScoringCheck().add(config);
}

namespace {

template <class Items, class ObjectiveOf>
bool any_needs_masks(const Items& items, const ObjectiveOf& objective_of_item) {
  return std::any_of(items.begin(), items.end(),
                     [&](const auto& item) { return objective_of_item(item)->needs_masks(); });
}

}  // namespace

bool trains_with_masks(const RunConfig& config) {
  return std::any_of(config.phases.begin(), config.phases.end(), [&](const PhaseConfig& phase) {
    const auto of_source = [&](const DataSource& source) { return source_objective(config, phase, source); };
    return phase_objective(config, phase)->needs_masks() || any_needs_masks(phase.data, of_source) ||
           (phase.replay && any_needs_masks(phase.replay->data, of_source));
  });
}

bool needs_masks(const RunConfig& config) {
  const auto of_set = [&](const EvalSource& source) { return objective_of(config, source); };
  return trains_with_masks(config) ||
         std::any_of(config.phases.begin(), config.phases.end(),
                     [&](const PhaseConfig& phase) { return phase.eval && any_needs_masks(phase.eval->data, of_set); });
}

void resolve_objectives(const RunConfig& config, const PhaseConfig& phase, Json& json) {
  json["objective"] = phase_objective(config, phase)->options();
  resolve_objectives(config, phase, phase.data, json["data"]);
  if (phase.replay) resolve_objectives(config, phase, phase.replay->data, json["replay"]["data"]);
  for (size_t i = 0; phase.eval && i < phase.eval->data.size(); ++i)
    json["eval"]["data"].as_array()[i]["objective"] = objective_of(config, phase.eval->data[i])->options();
}

}  // namespace evenkeel::train
