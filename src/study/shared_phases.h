// Arms whose first phases are the same compute them once: a later arm's run folder begins with the metrics
// and checkpoints of an earlier arm, and training resumes from there.
#pragma once

#include <filesystem>
#include <string>

#include "study/matrix.h"

namespace evenkeel::study {

// The number of first phases that two arms share: everything that bears on them is equal.
size_t n_shared_phases(const ArmPlan& left, const ArmPlan& right);

// Gives `run` the phases that it shares with the earlier arms in `arms_folder` (those of `plan` before
// `index`), unless it has come that far itself. Hard links where the file system has them. Returns the
// name of the arm that gave, or "".
std::string take_shared_phases(const StudyPlan& plan, size_t index, const std::filesystem::path& arms_folder);

}  // namespace evenkeel::study
