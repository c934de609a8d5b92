// A look at the first micro-batch before training: losses and routers that would do nothing, silently. And one at the counts of every step:
// routers that have collapsed.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "train/step.h"

namespace evenkeel::train {

// One line for each: a router whose weights get no gradient from the loss; a balance or z coefficient that
// has no path to any router; a router that needs a balance loss and has none; and collapsed routers. Empty when
// all is well. Parameters and their gradients are left as they were.
std::vector<std::string> diagnose(const model::Transformer& model, const optim::RateFactors& factors, const data::Batch& batch, const TrainState& state);

// A router that has collapsed, in one layer.
struct Collapse {
  enum class Kind { one_expert,    // nearly all tokens have it among their k
                    same_experts,  // k experts have nearly all assignments of more than k
                    no_scores };   // of a sigmoid or sqrtsoftplus router, shrunk to nearly 0
  int64_t layer = 0;
  Kind kind = Kind::one_expert;
  bool operator<(const Collapse& other) const { return std::pair(kind, layer) < std::pair(other.kind, other.layer); }
};

// What the counts of a step show: one_expert and same_experts. Looks at the counts alone.
std::vector<Collapse> find_collapse(const std::vector<analysis::RoutingCounts>& routing);
// What the scores of a micro-batch show: no_scores. A forward pass, for routers whose scores can shrink; none for a softmax.
std::vector<Collapse> find_shrunk_scores(const model::Transformer& model, const data::Batch& batch, const TrainState& state);
// "alarms" of a line of metrics.jsonl: [{"layer", "kind", "text"}].
Json alarms_json(const std::vector<Collapse>& found, const model::ModelConfig& config);
// Those that the lines of a phase have already: an alarm comes once a phase, also where the run was resumed in it.
std::set<Collapse> alarms_of_phase(const std::vector<Json>& lines, const std::string& phase);
// A sentence for each kind, naming its layers.
std::vector<std::string> collapse_sentences(const std::vector<Collapse>& found, const model::ModelConfig& config);

}  // namespace evenkeel::train
