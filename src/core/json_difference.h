// Where two JSON documents differ, in words.
#pragma once

#include <optional>
#include <string>

#include "core/json.h"

namespace evenkeel {

// The first difference of `got` from `needed`, in the order of `needed`: "tables.drops.rows[0][4]: got 0.5; need 0.25".
// None where they are the same but for the order of keys and the rounding of another machine: two integers are equal
// exactly, other numbers within 1e-9 of the needed one, or of 1 where that is larger. `path` is that of the documents,
// "" for whole ones.
std::optional<std::string> first_difference(const Json& got, const Json& needed, const std::string& path = "");

}  // namespace evenkeel
