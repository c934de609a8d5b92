#include "data/tokenizers/pattern.h"

#include "core/errors.h"
#include "core/json_error.h"
#include "core/json_value.h"
#include "data/tokenizers/code_points.h"
#include "data/utf8.h"

namespace evenkeel::data {

Regex read_pattern(const Json& json) {
  try {
    if (const Json* const text = json.find("String")) return Regex::of_text(text->as_string());
    if (const Json* const regex = json.find("Regex")) return Regex(regex->as_string());
    if (json.is_string()) return Regex::of_text(json.as_string());
  } catch (const JsonError&) {
    throw;
  } catch (const DataError& error) {
    throw JsonError(error.what(), json);
  }
  throw JsonError("got a pattern of another kind; need {\"String\": ...} or {\"Regex\": ...}", json);
}

std::string replaced(const Regex& pattern, std::string_view text, std::string_view content, RegexWorkspace& workspace,
                     bool& takes_start) {
  std::string out;
  size_t copied = 0;
  RegexMatches matches(pattern, text, workspace);
  while (const auto match = matches.next()) {
    out += text.substr(copied, match->begin - copied);
    const std::string_view taken = text.substr(match->begin, match->end - match->begin);
    const bool is_character = !taken.empty() && utf8_bytes(taken[0]) == taken.size();
    if (out.empty() && !taken.empty() && (content.empty() || !is_character)) takes_start = true;
    out += content;
    copied = match->end;
  }
  return out += text.substr(copied);
}

void fail_lacks_type(const Json& part, std::string_view known) {
  const Json& type = part.at("type");
  throw JsonError(join_parts("got ", quoted_excerpt(type.as_string()), ", which evenkeel lacks; need one of: ", known),
                  type);
}

bool bool_or(const Json& object, std::string_view key, bool otherwise) {
  const Json* const value = find_value(object, key);
  return value != nullptr ? value->as_bool() : otherwise;
}

}  // namespace evenkeel::data
