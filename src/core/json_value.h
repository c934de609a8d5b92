// Values that a JSON object may leave out or have as null, which says the same.
#pragma once

#include <string_view>

#include "core/json.h"

namespace evenkeel {

// nullptr where the key is absent or null.
inline const Json* find_value(const Json& object, std::string_view key) {
  const Json* found = object.find(key);
  return found == nullptr || found->is_null() ? nullptr : found;
}

}  // namespace evenkeel
