// How a token is shown to people.
#pragma once

#include <string>
#include <string_view>

namespace evenkeel::data {

std::string shown_bytes(std::string_view bytes);  // a byte that is part of no character as <0xE2>
std::string with_spaces(std::string_view token);  // U+2581 as a space

}  // namespace evenkeel::data
