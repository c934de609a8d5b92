#include "cli/json_output.h"

#include <cmath>
#include <iostream>

namespace evenkeel::cli {

Json with_whole_numbers(Json json) {
  constexpr double kExact = 9007199254740992;  // 2^53
  if (json.is_array()) {
    for (auto& value : json.as_array()) value = with_whole_numbers(std::move(value));
  } else if (json.is_object()) {
    for (auto& [key, value] : json.as_object()) value = with_whole_numbers(std::move(value));
  } else if (json.is_number() && !json.is_integer()) {
    const double number = json.as_double();
    if (number == std::floor(number) && std::abs(number) < kExact) return static_cast<int64_t>(number);
  }
  return json;
}

void print_json(const Json& json) { std::cout << with_whole_numbers(json).dump(1) << "\n"; }

}  // namespace evenkeel::cli
