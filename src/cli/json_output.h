// A JSON document on stdout, for other programs.
#pragma once

#include "core/json.h"

namespace evenkeel::cli {

// A number that is whole and below 2^53 as the integer that it is: 150000000, not 1.5e+08.
Json with_whole_numbers(Json json);
void print_json(const Json& json);

}  // namespace evenkeel::cli
