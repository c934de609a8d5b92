// UTF-8 checks for text that comes from outside.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace evenkeel::data {

// Bytes of the longest valid prefix: text.size() when all of it is UTF-8. Overlong forms, surrogates and
// code points above U+10FFFF are invalid, and so is a character that the end cuts.
size_t valid_utf8_bytes(std::string_view text);

// DataError where the text is no UTF-8.
void require_utf8(std::string_view text);

// The text with each place that is no UTF-8 replaced: `mend` gets the rest from there on, which is not empty, adds what
// stands for its beginning to `out`, and gives the bytes of that beginning, one or more.
std::string with_invalid_mended(std::string_view bytes,
                                const std::function<size_t(std::string_view rest, std::string& out)>& mend);

// The largest size_bytes <= limit at which the text can be cut between two characters.
size_t utf8_cut(std::string_view text, size_t limit);

// The start of the text in JSON quotes, for an error message: one line, at most about 40 bytes of it.
std::string quoted_excerpt(std::string_view text);

}  // namespace evenkeel::data
