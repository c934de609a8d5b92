// Values that people write in a recipe and that TOML does not have: null, True, a word without quotes.
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

// "NAME:LINE:COLUMN: got d_model = null, …; need …" where the parser stopped at a bare value of a key; none where it was something else.
std::optional<std::string> bare_value_message(std::string_view text, const std::string& name, const TextPlace& stop);

}  // namespace evenkeel
