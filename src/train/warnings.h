// What the checks of a run found, and how many of its experts are in use: what a reader must know before any ratio of
// balance.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "train/results.h"

namespace evenkeel::train {

// Rows of the table `warnings`: each alarm of the runs with its arm, phase, step and layer. One of a phase that arms
// share, which was trained once, stands once, under the first of them, with the number of arms in which its router has
// recovered in the end.
void add_warning_rows(const std::vector<Arm>& arms, Table& table);

// Experts of all MoE layers that a held-out set reaches in the run's last evaluation, of `all`.
struct ExpertUse {
  int64_t in_use = 0, all = 0;
};
// nullopt for a dense model, and where the last phase was not evaluated on the set.
std::optional<ExpertUse> expert_use(const Arm& arm, const std::string& data);

// Whether a check of the steps, of any phase, or of the evaluations on `data` found a collapse from which the router
// had not recovered at the run's last evaluation. The figures of such a router are no balance.
bool has_collapsed(const Arm& arm, const std::string& data);

// Those from which the router has recovered, those from which it has not, or both.
enum class Collapses { all, lasting, recovered };
// A sentence for each kind of collapse that the checks found in runs that share a group, in each phase and, of
// evaluations, on each held-out set; those from which the router has recovered come last and are told in the past, with
// the steps between which they lasted. Empty where there is none.
std::vector<std::string> collapse_headlines(const std::vector<Arm>& arms, Collapses which = Collapses::all);

}  // namespace evenkeel::train
