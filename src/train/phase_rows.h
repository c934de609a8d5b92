// What results.json says of the phases of an arm, and of what its held-out sets are scored by.
#pragma once

#include <string>
#include <vector>

#include "train/arm.h"
#include "train/result_rows.h"

namespace evenkeel::train {

// Of every phase of the recipe, those to come too.
std::vector<PhaseRow> phase_rows(const Arm& arm);

// The objective of a held-out set by its name, which has one whatever the phase; "causal" of one that no phase has.
std::string objective_of_set(const Arm& arm, const std::string& set);
Json objectives_of_sets(const Arm& arm);  // {NAME: objective}, in the order of the recipe
// " (scored by ul2)"; nothing for causal.
std::string words_unless_causal(const std::string& objective);

}  // namespace evenkeel::train
