// What the checks of a run found, and how many of its experts are in use: what a reader must know before any ratio of
// balance.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "train/results.h"

namespace evenkeel::train {

// Rows of the table `warnings`: each alarm of metrics.jsonl with its arm, phase, step and layer. One of a phase that
// arms share, which was trained once, stands once, under the first of them, and has recovered where it has in all of
// them.
void add_warning_rows(const std::vector<Arm>& arms, Table& table);

// Experts of all MoE layers that a held-out set reaches in the run's last evaluation, of `all`.
struct ExpertUse {
  int64_t in_use = 0, all = 0;
  bool is_rare_in_a_layer = false;  // fewer than half of a layer's experts
};
// nullopt for a dense model, and where the last phase was not evaluated on the set.
std::optional<ExpertUse> expert_use(const Arm& arm, const std::string& data);

// Whether a check found a collapse in the run's last phase from which the router had not recovered at the last
// evaluation, or its last evaluation on `data` leaves more than half of a layer's experts without a token. The figures
// of such a router are no balance.
bool has_collapsed(const Arm& arm, const std::string& data);

// A sentence for each kind of collapse that the checks found in the last phase of runs that share a group, and for runs
// that has_collapsed tells of by their last evaluation alone; empty where there is none.
std::vector<std::string> collapse_headlines(const std::vector<Arm>& arms);

}  // namespace evenkeel::train
