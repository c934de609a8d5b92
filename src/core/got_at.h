// How a message about a value of a recipe begins.
#pragma once

#include <string>

namespace evenkeel {

// "WHERE: got PATH = ", or "--set PATH: got " where the place names the path already.
std::string got_at(const std::string& where, const std::string& path);

}  // namespace evenkeel
