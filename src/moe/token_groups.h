// The groups of consecutive places that `group_size` cuts a run of places into: of drops that are grouped by `cut`, and
// of the balance losses that look at groups.
#pragma once

#include <algorithm>
#include <cstdint>

namespace evenkeel::moe {

// Groups of `size` places each; the last may be shorter. There is one also where there are no places. Their borders lie
// on places, padding included: so what is padding in one group moves no token to another, and a micro-batch of whole
// groups has the groups of its parts.
struct TokenGroups {
  int64_t n_places = 0, size = 0;  // size: at least 1
  int64_t count() const { return std::max<int64_t>(1, (n_places + size - 1) / size); }
  int64_t begin(int64_t group) const { return group * size; }
  int64_t end(int64_t group) const { return std::min(n_places, (group + 1) * size); }
};
// group_size 0: one group.
inline TokenGroups token_groups(int64_t n_places, int64_t group_size) {
  return {n_places, std::max<int64_t>(1, group_size > 0 ? group_size : n_places)};
}

}  // namespace evenkeel::moe
