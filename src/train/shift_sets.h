// Which held-out sets tell of an arm's old data and of its new: named here once, for tables, headlines, results.json
// and the page.
#pragma once

#include <string>

#include "train/arm.h"

namespace evenkeel::train {

// The share of a phase's sequences that is replayed, of its entry in resolved.json or state.json; 0 without replay.
double replay_fraction_of(const Json& phase);

// The held-out sets on which an arm's forgetting and learning are read: those of the last phase's evaluation that have
// the name or the file of a source, or are the part of it that `prepare --holdout` kept back. A source without one
// stands under its own name. A source is one of a phase where a sequence of it was drawn; before the phase's first
// step, as when a run begins, where its share of the phase is at least a sequence.
struct ShiftSets {
  std::string old_data;  // of the sources of the first phase, the first that has one
  std::string new_data;  // of the last phase's that the first phase did not have; where it had all, of all of them
};
ShiftSets shift_sets(const Arm& arm);
// Whether a phase has drawn of data, its replay aside, that a held-out set of this name tells of.
bool trains_on(const Arm& arm, size_t phase, const std::string& set);
// Whether two phases draw of the same sources, their replay aside, each in the same share (within 1e-9).
bool draws_the_same(const Arm& arm, size_t phase, size_t other);
// Whether the last phase evaluates a set of this name.
bool is_evaluated(const Arm& arm, const std::string& set);
// Those of the two that no evaluation is of, so that nothing can be said of them; empty: both are there.
std::string sets_without_evaluation(const Arm& arm);

}  // namespace evenkeel::train
