// Which evenkeel wrote a results.json.
#pragma once

#include "core/json.h"

namespace evenkeel {

// Whether the machine's entry of a results.json says this version, whose texts (definitions, the frame of a page) are
// then those of this program. False where it says nothing.
inline bool is_of_this_version(const Json& results) {
  const Json* machine = results.is_object() ? results.find("machine") : nullptr;
  const Json* version = machine != nullptr && machine->is_object() ? machine->find("evenkeel") : nullptr;
  return version != nullptr && *version == Json(EVENKEEL_VERSION);
}

}  // namespace evenkeel
