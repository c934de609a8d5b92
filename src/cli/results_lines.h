// What `train` and `study` say in the end.
#pragma once

#include <filesystem>

namespace evenkeel::cli {

// The headlines of FOLDER/results.json, a line each, and where the page is.
void log_results(const std::filesystem::path& folder);

}  // namespace evenkeel::cli
