// What the loss of a held-out set is held against, to say how much of it a run has forgotten.
#pragma once

#include <optional>
#include <string>

#include "train/arm.h"

namespace evenkeel::train {

struct ForgettingBaseline {
  std::string name;  // of the phase at whose end it was evaluated, or kStepZero
  LossFigure loss;
};

// What the loss on a set after a phase is held against: the end of the last phase before it that trained on the set.
// Where none did it is step 0 of a run whose weights come from elsewhere, else the end of the first phase. Of a phase
// that continues from an earlier one than its neighbour, those between do not count, and of one that continues from the
// middle of a phase the end is what it takes over. Replay does not count either: it is there to keep what was learned.
// nullopt where that was not evaluated on the set, for the first phase of a run from nothing, and where the weights
// come from another run at a later phase.
std::optional<ForgettingBaseline> forgetting_baseline(const Arm& arm, size_t phase, const std::string& data);

// The rise of the loss on a set since then, at the end of the last phase that was evaluated. nullopt without a baseline
// or a loss.
std::optional<LossFigure> forgetting_at_end(const Arm& arm, const std::string& data);
// "the end of phase one", "step 0".
std::string baseline_words(const std::string& name);

}  // namespace evenkeel::train
