// Classes of characters in a regular expression of Oniguruma, as PCRE2 writes them (regex_syntax.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::data {

// Around the members of a class that are younger than PCRE2's Unicode; neither stands elsewhere in what is returned.
inline constexpr char kNewerBegin = '\x01', kNewerEnd = '\x02';

std::string pcre2_code_point(char32_t code_point);
// Each reads from pattern[at] on and moves `at` behind what it has read. DataError names what evenkeel lacks.
std::string read_character_set(std::string_view pattern, size_t& at);                 // [a-z\p{L}&&[^b]]
std::optional<std::string> read_class_escape(std::string_view pattern, size_t& at);   // \s \p{L}, none: another
std::optional<char32_t> read_character_escape(std::string_view pattern, size_t& at);  // \n \x{41} \.
std::string word_boundary();                                                          // \b

}  // namespace evenkeel::data
