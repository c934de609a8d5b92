// Which objective each held-out set is scored by, and what a recipe says of all of its objectives together.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "data/objectives/objective.h"
#include "train/config.h"

namespace evenkeel::train {

// nullptr: windows of causal text, which a set that names nothing has, and one that names `causal`. ConfigError as of
// make_objective.
std::shared_ptr<const data::Objective> scoring_objective(const RunConfig& config, const EvalSource& source);

// Held-out sets of one name are scored by one objective: their losses are held against each other, from phase to phase
// and from arm to arm. An option that no recipe gives is as each model has it: the sentinels of a larger vocabulary are
// its own.
class ScoringCheck {
 public:
  // ConfigError naming the set where it is scored otherwise than before. `arm`: of a study, for messages.
  void add(const RunConfig& config, const std::string& arm = "");

 private:
  struct Scored {
    std::string by;
    Json options;       // all of them
    ConfigNode config;  // those that are given
  };
  std::map<std::string, Scored> by_name_;
};

// ConfigError naming the set where its objective cannot be made, or asks for masks that the model's attention does not
// take; and as of ScoringCheck.
void check_eval_objectives(const RunConfig& config);

// Whether a phase or a source has an objective whose sequences attention sees under a mask.
bool trains_with_masks(const RunConfig& config);
// Whether one of these or a held-out set has.
bool needs_masks(const RunConfig& config);

// For resolved.json: the objectives of a phase and of its held-out sets with every option, and of each source the one
// that it names; a source that names none has no such key.
void resolve_objectives(const RunConfig& config, const PhaseConfig& phase, Json& json);

}  // namespace evenkeel::train
