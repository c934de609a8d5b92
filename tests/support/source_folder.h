// The root of the source tree, for tests that read its files.
#pragma once

#include <filesystem>

namespace evenkeel::testing {

std::filesystem::path source_folder();

}  // namespace evenkeel::testing
