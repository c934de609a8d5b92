// A look at the first micro-batch before training: losses and routers that would do nothing, silently. And one at the counts of every step:
// routers that have collapsed. What is found stands as "alarms" in the step's line of metrics.jsonl.
#pragma once

#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "train/step.h"

namespace evenkeel::train {

// What a check found, in one layer or in the whole model.
struct Alarm {
  enum class Kind { one_expert,    // collapse: nearly all tokens have one expert among their k
                    same_experts,  // collapse: k experts have nearly all assignments of more than k
                    no_scores,     // collapse: of a sigmoid or sqrtsoftplus router, shrunk to nearly 0
                    no_gradient,   // a router that the cross-entropy does not reach
                    no_effect,     // a coefficient that changes nothing in a router
                    no_balance,    // a router that needs a balance loss and has none
                    not_causal };
  static constexpr int64_t kAllLayers = -1;
  Kind kind = Kind::one_expert;
  int64_t layer = kAllLayers;
  std::string text;
  bool is_collapse() const { return kind <= Kind::no_scores; }
  bool operator<(const Alarm& other) const { return std::tie(kind, layer, text) < std::tie(other.kind, other.layer, other.text); }
};

// A router whose weights get no gradient from the loss; a balance or z coefficient that has no path to any router; a router that needs
// a balance loss and has none, or is not causal; and collapsed routers. Empty when all is well. Parameters and their gradients are left
// as they were.
std::vector<Alarm> diagnose(const model::Transformer& model, const optim::RateFactors& factors, const data::Batch& batch, const TrainState& state);

// What the counts of a step show: one_expert and same_experts. Looks at the counts alone.
std::vector<Alarm> find_collapse(const std::vector<analysis::RoutingCounts>& routing);
// What the scores of a micro-batch show: no_scores. Takes a forward pass. The scores of a softmax sum to 1 and show nothing.
std::vector<Alarm> find_shrunk_scores(const model::Transformer& model, const data::Batch& batch, const TrainState& state);
// "alarms" of a line of metrics.jsonl: [{"layer" (null: all), "kind", "text"}].
Json alarms_json(const std::vector<Alarm>& alarms);
// Those that the lines of a phase have already: an alarm comes once a phase, also where the run was resumed in it.
std::set<Alarm> alarms_of_phase(const std::vector<Json>& lines, const std::string& phase);
// Whether a kind of "alarms" is a collapse.
bool is_collapse_kind(const std::string& kind);
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
