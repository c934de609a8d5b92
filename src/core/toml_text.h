// What is looked for in the text of a recipe before and after the TOML parser reads it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel {

// Where the parser stopped, both from 1; a column counts characters, not bytes.
struct TextPlace {
  size_t line = 1, column = 1;
};

// Refuses what the parser must not see, with name and line. Keys of very many parts are nested tables, which are read
// and freed by recursion. toml++ 3.3 does not define what it does with most characters beyond ASCII outside of strings
// and comments (is_non_ascii_horizontal_whitespace). Throws ConfigError.
void check_toml_text(std::string_view text, const std::string& name);

// For values that people write and that TOML does not have: null, True, a word without quotes.
// "NAME:LINE:COLUMN: got d_model = null, …; need …" where the parser stopped at a bare value of a key; none where it
// was something else.
std::optional<std::string> bare_value_message(std::string_view text, const std::string& name, const TextPlace& stop);

}  // namespace evenkeel
