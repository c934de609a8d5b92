#include "report/local_paths.h"

namespace evenkeel::report {
namespace {

// "/data/en" -> "en"; what is no absolute path stays.
std::string_view last_part(std::string_view text) {
  if (text.size() < 2 || text[0] != '/') return text;
  while (text.size() > 1 && text.back() == '/') text.remove_suffix(1);
  return text.substr(text.rfind('/') + 1);
}

}  // namespace

Json without_folders(Json value) {
  if (value.is_string()) return Json(last_part(value.as_string()));
  if (value.is_array())
    for (auto& item : value.as_array()) item = without_folders(std::move(item));
  if (value.is_object())
    for (auto& [key, item] : value.as_object()) item = without_folders(std::move(item));
  return value;
}

std::string without_folders_in(std::string_view toml) {
  std::string out;
  while (!toml.empty()) {
    const size_t open = std::min(toml.find_first_of("\"'"), toml.size());
    out += toml.substr(0, open);
    toml.remove_prefix(open);
    if (toml.empty()) break;
    const size_t close = toml.find(toml[0], 1);
    const size_t line_end = toml.find('\n');
    if (close == std::string_view::npos || close > line_end) {  // an apostrophe of a comment
      out += toml[0];
      toml.remove_prefix(1);
      continue;
    }
    out += toml[0];
    out += last_part(toml.substr(1, close - 1));
    out += toml[0];
    toml.remove_prefix(close + 1);
  }
  return out;
}

}  // namespace evenkeel::report
