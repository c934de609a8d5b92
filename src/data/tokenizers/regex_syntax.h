// The regular expressions of tokenizer files are written for Oniguruma in its Ruby syntax, with Unicode 16; PCRE2 reads
// another dialect, with the Unicode of its version.
#pragma once

#include <string>
#include <string_view>

namespace evenkeel::data {

// Patterns for PCRE2 with PCRE2_UTF, PCRE2_UCP and PCRE2_MULTILINE.
struct Pcre2Pattern {
  std::string plain;  // fast, for text without code points of newer_code_points() (code_points.h)
  std::string full;   // for every text
};
// What matches what `pattern` matches. DataError names the part of `pattern` that evenkeel lacks.
Pcre2Pattern pcre2_pattern(std::string_view pattern);
// One that matches `text` itself.
std::string pcre2_literal(std::string_view text);

}  // namespace evenkeel::data
