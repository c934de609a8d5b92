// The report: one self-contained HTML page of a run or a study, made from the files that it left.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace evenkeel::report {

// Folders with results.json (runs or studies); several runs become the arms of one page. The same input
// gives the same bytes. DataError for a folder that is neither.
std::string make_page(const std::vector<std::filesystem::path>& folders);
// Also removes what a killed writer of the same page left.
void write_page(const std::vector<std::filesystem::path>& folders, const std::filesystem::path& out);

}  // namespace evenkeel::report
