// Whether a page shows what the files that it was made from say.
#pragma once

#include <filesystem>

namespace evenkeel::report {

// DataError where FOLDER/report.html is missing, is no page, or shows others than the figures and sentences that the
// files of the folder give now. The program's own part of it (styles, scripts, definitions) is not compared.
void check_page(const std::filesystem::path& folder);

}  // namespace evenkeel::report
