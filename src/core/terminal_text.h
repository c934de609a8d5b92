// Text by the columns that it takes on a terminal, which are neither its bytes nor its characters.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace evenkeel {

// `text` on one line that a terminal shows and does not obey: \n and \t as these two letters, other control characters
// (those of Unicode too) and bytes that are no UTF-8 as \x1b.
std::string printable(std::string_view text);

// Columns of UTF-8 text: 0 for a mark that combines with the character before, 2 for East Asian wide characters and
// emoji, 1 for every other character and for a byte that is no UTF-8.
int64_t count_columns(std::string_view text);

// `text` in at most `columns` columns. Fields are what two spaces set apart; whole ones are left out from the right. A
// first field that is too wide by itself is cut.
std::string fit_fields(std::string_view text, int64_t columns);

}  // namespace evenkeel
