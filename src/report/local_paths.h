// A page travels; the folders of the machine that made it stay at home.
#pragma once

#include <string>
#include <string_view>

#include "core/json.h"

namespace evenkeel::report {

// Every string of a JSON value that is an absolute path becomes the path's last part; keys stay as they are.
Json without_folders(Json value);

// The same for the quoted strings of a TOML text.
std::string without_folders_in(std::string_view toml);

}  // namespace evenkeel::report
