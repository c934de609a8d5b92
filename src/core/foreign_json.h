// JSON as other programs write it: Python's json module writes NaN, Infinity and -Infinity, and half of a surrogate
// pair as an escape such as \ud83d. JSON has none of these; a text that holds them is read all the same.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/json.h"

namespace evenkeel {

// A handler that can begin anew, as if it had seen nothing.
class RestartableEvents : public JsonEvents {
 public:
  virtual void restart() = 0;
};

// Events and errors as read_json_events. NaN and the infinities come as strings of that name, a lone surrogate as
// U+FFFD. Returns the number of lone surrogates. Text that is JSON is read once; other text a second time, after a
// restart of the events.
int64_t read_foreign_json(std::string_view text, std::string_view where, RestartableEvents& events);

// Of a key that stands twice in one object, `find` takes the first.
Json parse_foreign_json(std::string_view text, std::string_view where);

}  // namespace evenkeel
