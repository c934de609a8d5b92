// Numbers of things in messages.
#pragma once

#include <cstdint>
#include <string>

#include "core/json.h"

namespace evenkeel {

// "1 line", "2 lines"
inline std::string counted(int64_t n, const std::string& thing) {
  return std::to_string(n) + " " + thing + (n == 1 ? "" : "s");
}

// Whether a number was written with a point or an exponent. 1e3 and 1000.0 are such, and a message shows them as 1000:
// it must say what it does not like.
inline bool has_fraction(const Json& value) { return value.is_number() && !value.is_integer(); }

}  // namespace evenkeel
