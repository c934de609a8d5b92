// What a recipe says of objectives: of the phases, their sources and the held-out sets.
#pragma once

#include <memory>

#include "data/objectives/objective.h"
#include "train/config.h"

namespace evenkeel::train {

// nullptr: windows of causal text, which a set that names nothing has, and one that names `causal`. ConfigError as of
// make_objective.
std::shared_ptr<const data::Objective> scoring_objective(const RunConfig& config, const EvalSource& source);

// ConfigError naming the set where its objective cannot be made, or asks for masks that the model's attention does not
// take; and where two phases score a set of one name by different objectives, since a run's losses on it are held
// against each other.
void check_eval_objectives(const RunConfig& config);

// For resolved.json: the objectives of a phase and of its held-out sets with every option, and of each source the one
// that it names; a source that names none has no such key.
void resolve_objectives(const RunConfig& config, const PhaseConfig& phase, Json& json);

}  // namespace evenkeel::train
