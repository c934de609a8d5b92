// Whether a study's results.json says of its arms what their files give.
#pragma once

#include <filesystem>

namespace evenkeel::study {

// DataError with the first key that differs: of an arm's entry, or of a table that derives from the runs alone. Not
// compared is what derives from measured speeds, from study.toml, whose paths may be of another place, or from the
// program's texts.
void check_study_results(const std::filesystem::path& study);

}  // namespace evenkeel::study
