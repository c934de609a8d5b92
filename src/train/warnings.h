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
// recovered by the end of that phase or of a later one. A collapse after that has an alarm of its own.
void add_warning_rows(const std::vector<Arm>& arms, Table& table);

// Experts of all MoE layers that a held-out set reaches in the run's last evaluation, of `all`.
struct ExpertUse {
  int64_t in_use = 0, all = 0;
};
// nullopt for a dense model, and where the last phase was not evaluated on the set.
std::optional<ExpertUse> expert_use(const Arm& arm, const std::string& data);

// Where a check found a collapse, of any phase, from which the router had recovered at no later end of a phase:
// "training batches", and "held-out DATA" for evaluations on `data`. Empty where there is none. The figures of such a
// router are no balance.
std::vector<std::string> collapsed_on(const Arm& arm, const std::string& data);

// Those from which the router has recovered, those from which it has not, or both.
enum class Collapses { all, lasting, recovered };
// A sentence for each group of runs, or for a phase that several groups share: each phase, held-out set, layers and
// steps of the collapses that the checks found. Those from which the router has recovered are told in the past, with
// the steps between which they lasted; who has none that lasts comes last. Empty where there is none.
std::vector<std::string> collapse_headlines(const std::vector<Arm>& arms, Collapses which = Collapses::all);

}  // namespace evenkeel::train
