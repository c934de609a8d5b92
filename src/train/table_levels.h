// What a reader must know to judge a table's figures, where it is one number for all of its rows.
#pragma once

#include <vector>

#include "train/results.h"

namespace evenkeel::train {

// Sets `chance` (uniform routing: k / E for the imbalance, the rows' own chance for saturation) and `tokens` (that each
// figure rests on: of a held-out set, or of a training step for shift_mri) of forgetting, shift_mri, eval_mri and
// saturation. What differs between arms, data sets or rows is left unset.
void set_levels(const std::vector<Arm>& arms, NamedTables& tables);

}  // namespace evenkeel::train
