// A look at the first micro-batch before training: losses and routers that would do nothing, silently. And one at the
// counts of every step: routers that have collapsed. What is found stands as "alarms" in the step's line of
// metrics.jsonl.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "record/alarm.h"
#include "train/step.h"

namespace evenkeel::train {

using record::Alarm;

// A router whose weights get no gradient from the loss; a balance or z coefficient that has no path to any router; a
// router that needs a balance loss and has none, or is not causal; and collapsed routers. Empty when all is well.
// Parameters and their gradients are left as they were.
std::vector<Alarm> diagnose(const model::Transformer& model, const data::Batch& batch, const TrainState& state);

// What the counts and scores of a step show: one_expert, same_experts and no_scores. `token_scores` as of StepReport.
std::vector<Alarm> find_collapse(const std::vector<analysis::RoutingCounts>& routing,
                                 const std::vector<double>& token_scores);
// Those that the lines of a phase have already: an alarm comes once a phase, also where the run was resumed in it.
std::set<Alarm> alarms_of_phase(const std::filesystem::path& metrics, const std::string& phase);
// Warns of an alarm once a phase.
class AlarmWatch {
 public:
  explicit AlarmWatch(std::set<Alarm> warned_of) : warned_of_(std::move(warned_of)) {}
  // Those of `found` that are new. Each is logged, after `when`.
  std::vector<Alarm> add(const std::vector<Alarm>& found, const std::string& when = "");

 private:
  std::set<Alarm> warned_of_;
};

// A line for each: "routing check: layers 0, 2: ..." for a collapse of several layers, the text alone for others.
std::vector<std::string> alarm_sentences(const std::vector<Alarm>& alarms);

}  // namespace evenkeel::train
