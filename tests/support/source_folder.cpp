#include "support/source_folder.h"

namespace evenkeel::testing {

std::filesystem::path source_folder() { return EVENKEEL_SOURCE_DIR; }

}  // namespace evenkeel::testing
