// Code points of UTF-8 text that is known to be valid, and the classes of them that tokenizers ask for. The classes are
// those of the `tokenizers` library 0.23, whose parts follow different versions of Unicode.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace evenkeel::data {

// Bytes of the character that begins with `lead`.
constexpr size_t utf8_bytes(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}
char32_t first_code_point(std::string_view text);         // text: not empty
size_t last_character_begin(std::string_view text);       // byte offset of the last character; text: not empty
void append_utf8(std::string& out, char32_t code_point);  // a Unicode scalar value
bool is_white_space(char32_t code_point);                 // the property White_Space
bool is_numeric(char32_t code_point);                     // general category N of Unicode 17
bool is_punctuation(char32_t code_point);                 // ASCII punctuation, or category P of Unicode 8
bool is_word_character(char32_t code_point);              // \w of Unicode's regular expressions (UTS 18)
void append_lowercase(std::string& out, char32_t code_point);

// Code points that have a general category since Unicode 15 to 16, and had none in Unicode 14.
struct CodePointRange {
  char32_t first, last;
  char category[3];  // "Lu"
};
std::span<const CodePointRange> newer_code_points();
const CodePointRange* newer_code_point(char32_t code_point);  // the range that it is in, or nullptr
bool has_newer_code_point(std::string_view text);             // valid UTF-8

}  // namespace evenkeel::data
