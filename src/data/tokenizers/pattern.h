// {"String": "text"} or {"Regex": "pattern"}, as several parts of a tokenizer.json have it.
#pragma once

#include "core/json.h"
#include "data/tokenizers/regex.h"

namespace evenkeel::data {

Regex read_pattern(const Json& json);  // JsonError
// The text with each match replaced. Sets `takes_start` where the first character then stands for no first one: a match
// at the start is replaced by nothing, or is longer than a character and so, to the library, its content for the last.
std::string replaced(const Regex& pattern, std::string_view text, std::string_view content, RegexWorkspace& workspace,
                     bool& takes_start);

// Throws the JsonError of a part whose "type" evenkeel lacks.
[[noreturn]] void fail_lacks_type(const Json& part, std::string_view known);
// The value of a key that may be absent or null.
bool bool_or(const Json& object, std::string_view key, bool otherwise);

}  // namespace evenkeel::data
