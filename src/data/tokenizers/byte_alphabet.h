// GPT-2's alphabet: a printable character for each byte, so that byte-level vocabularies are text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::data {

void append_byte_character(std::string& out, unsigned char byte);
std::string in_byte_alphabet(std::string_view bytes);
// The bytes that a text in the alphabet stands for; none where a character is outside of it.
std::optional<std::string> from_byte_alphabet(std::string_view text);

}  // namespace evenkeel::data
