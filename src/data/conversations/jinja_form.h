// Chat templates in Jinja are told by their text, which nothing here runs.
#pragma once

#include <string>
#include <string_view>

namespace evenkeel::data {

// A form that two templates share which differ only in what changes nothing of the text they make: white space inside
// tags, quotes, a.b for a['b'], outputs in one tag or in several, text outside of tags, comments, marks of what an
// assistant says ({% generation %}), and a default for add_generation_prompt. Blocks are trimmed as `transformers`
// does. `bos_token` is what the variable of that name stands for; "" leaves the name. Returns "" where the text is no
// template.
std::string jinja_form(std::string_view text, std::string_view bos_token);

}  // namespace evenkeel::data
