// Numbers of things in messages.
#pragma once

#include <cstdint>
#include <string>

namespace evenkeel {

// "1 line", "2 lines"
inline std::string counted(int64_t n, const std::string& thing) { return std::to_string(n) + " " + thing + (n == 1 ? "" : "s"); }

}  // namespace evenkeel
