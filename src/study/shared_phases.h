// Arms whose first phases are the same compute them once: a later arm's run folder begins with the metrics
// and checkpoints of an earlier arm, and training resumes from there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "study/matrix.h"

namespace evenkeel::study {

// The number of first phases that two arms share: everything that bears on them is equal.
size_t n_shared_phases(const ArmPlan& left, const ArmPlan& right);

// The earlier arm that arm `index` takes its first phases from: the first of those that share the most with it. It must
// have ended before the arm begins.
std::optional<size_t> giver_of(const StudyPlan& plan, size_t index);

// Steps of the shared phases that an arm which takes them, at first or second hand, starts a phase from: the run of arm
// `index` must save and keep them.
std::set<int64_t> steps_for_takers(const StudyPlan& plan, size_t index);

// Gives arm `index` the phases that it shares with its giver, as far as the giver saved every step that the arm starts
// a phase from, unless it has come that far itself. Hard links where the file system has them. Returns the name of the
// arm that gave, or "".
std::string take_shared_phases(const StudyPlan& plan, size_t index, const std::filesystem::path& arms_folder);

}  // namespace evenkeel::study
