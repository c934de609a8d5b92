// How a message about a value of a recipe begins.
#pragma once

#include <string>

namespace evenkeel {

// Whether a place says the path already, as "--set PATH" does.
bool names_path(const std::string& where, const std::string& path);
// "WHERE: got PATH = ", or "--set PATH: got " where the place names the path already.
std::string got_at(const std::string& where, const std::string& path);

}  // namespace evenkeel
