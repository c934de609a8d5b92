// Whether a study's results.json says of its arms what their files give.
#pragma once

#include <filesystem>

namespace evenkeel::study {

// DataError with the first key that differs: of an arm's entry, of the sentences, or of a table, by the files of the
// arms and speed.json. Not compared is what derives from study.toml, whose paths may be of another place (and from
// --set above it), or from the program's texts; the study's page has these too.
void check_study_results(const std::filesystem::path& study);

}  // namespace evenkeel::study
