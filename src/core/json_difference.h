// Where two JSON documents differ, in words.
#pragma once

#include <optional>
#include <string>

#include "core/json.h"

namespace evenkeel {

// Of sums in another order, and of another machine's cosine, exp and FMA. Far below what is shown.
inline constexpr double kRounding = 1e-9;
// Within that of the needed number, or of 1 where it is smaller.
bool is_near(double got, double needed);

// The first difference of `got` from `needed`, in the order of `needed`: "tables.drops.rows[0][4]: got 0.5; need 0.25".
// None where they are the same but for the order of keys and the rounding of another machine: two integers are equal
// exactly, other numbers where they are near. `path` is that of the documents,
// "" for whole ones.
std::optional<std::string> first_difference(const Json& got, const Json& needed, const std::string& path = "");

}  // namespace evenkeel
