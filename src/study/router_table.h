// The table that compares the routing rules of a study: what each looks at, and what its arms came to.
#pragma once

#include "train/results.h"

namespace evenkeel::study {

// Adds `routers`, a row for each arm: rule (null for a dense one), scope, causality, losses on the old and the new data, MRI around the shift and
// at evaluation, drops, dead experts. Old and new data: shift_sets of study/comparison.h. Nothing is added where
// the arms have fewer than three routing rules (kinds of router with rules of capacity). Reads `shift_mri` of `tables`.
void add_router_table(const std::vector<train::Arm>& arms, train::NamedTables& tables);

// The columns that say which rule an arm has; the others are figures.
const std::vector<std::string>& router_table_keys();

}  // namespace evenkeel::study
