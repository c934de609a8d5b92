#include "core/foreign_json.h"

#include <string>

#include "core/errors.h"

namespace evenkeel {
namespace {

// Text that JSON can express, in place of what other writers put there.
struct Repaired {
  std::string text;
  int64_t n_surrogates = 0;
  int64_t n_non_finite = 0;
};

// The code unit of an escape \uXXXX at `at`; -1 when there is none.
int code_unit_at(std::string_view text, size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = 0;
  for (const char c : text.substr(at + 2, 4)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

bool is_high_surrogate(int unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low_surrogate(int unit) { return unit >= 0xDC00 && unit < 0xE000; }

// Copies the string that begins with the quote at `at`; returns where it ends.
size_t copy_string(std::string_view text, size_t at, Repaired& out) {
  out.text += text[at++];
  while (at < text.size()) {
    const int unit = code_unit_at(text, at);
    if (is_high_surrogate(unit) && is_low_surrogate(code_unit_at(text, at + 6))) {
      out.text += text.substr(at, 12);
      at += 12;
    } else if (is_high_surrogate(unit) || is_low_surrogate(unit)) {
      out.text += "\\uFFFD";
      ++out.n_surrogates;
      at += 6;
    } else {
      const size_t size = text[at] == '\\' && at + 1 < text.size() ? 2 : 1;
      out.text += text.substr(at, size);
      at += size;
      if (size == 1 && out.text.back() == '"') break;
    }
  }
  return at;
}

Repaired repaired(std::string_view text) {
  Repaired out;
  out.text.reserve(text.size() + 16);
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '"') {
      at = copy_string(text, at, out);
      continue;
    }
    std::string_view name;
    for (const std::string_view candidate : {"NaN", "Infinity", "-Infinity"})
      if (text.substr(at, candidate.size()) == candidate) name = candidate;
    if (name.empty()) {
      out.text += text[at++];
      continue;
    }
    ((out.text += '"') += name) += '"';
    ++out.n_non_finite;
    at += name.size();
  }
  return out;
}

}  // namespace

int64_t read_foreign_json(std::string_view text, std::string_view where, RestartableEvents& events) {
  try {
    read_json_events(text, where, events);
    return 0;
  } catch (const DataError&) {
    const Repaired again = repaired(text);
    if (again.n_surrogates + again.n_non_finite == 0) throw;
    events.restart();
    read_json_events(again.text, where, events);
    return again.n_surrogates;
  }
}

Json parse_foreign_json(std::string_view text, std::string_view where) {
  try {
    return Json::parse(text, where, RepeatedKeys::kept);
  } catch (const DataError&) {
    const Repaired again = repaired(text);
    if (again.n_surrogates + again.n_non_finite == 0) throw;
    return Json::parse(again.text, where, RepeatedKeys::kept);
  }
}

}  // namespace evenkeel
