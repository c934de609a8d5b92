// Whether a page shows what the files that it was made from say.
#pragma once

#include <filesystem>

namespace evenkeel::report {

// DataError where FOLDER/report.html is missing, is no page, or shows others than the figures and sentences that the
// files of the folder give now. The program's own part of it (definitions, texts around the data, styles, scripts) is
// compared byte for byte where results.json is of this version of evenkeel; that of another version may differ.
void check_page(const std::filesystem::path& folder);

}  // namespace evenkeel::report
