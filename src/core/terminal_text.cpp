#include "core/terminal_text.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace evenkeel {
namespace {

struct Range {
  uint32_t first, last;
};

// The ranges of Unicode's EastAsianWidth (W and F) and of its nonspacing marks that names and text have; rare scripts
// are left to 1.
constexpr std::array kWide = {Range{0x1100, 0x115F},   Range{0x231A, 0x231B},   Range{0x2E80, 0x303E},
                              Range{0x3041, 0xA4CF},   Range{0xA960, 0xA97F},   Range{0xAC00, 0xD7A3},
                              Range{0xF900, 0xFAFF},   Range{0xFE30, 0xFE6F},   Range{0xFF00, 0xFF60},
                              Range{0xFFE0, 0xFFE6},   Range{0x1F300, 0x1F64F}, Range{0x1F680, 0x1F6FF},
                              Range{0x1F900, 0x1F9FF}, Range{0x20000, 0x3FFFD}};
constexpr std::array kCombining = {Range{0x0300, 0x036F}, Range{0x0483, 0x0489}, Range{0x0591, 0x05BD},
                                   Range{0x064B, 0x065F}, Range{0x0E34, 0x0E3A}, Range{0x1AB0, 0x1AFF},
                                   Range{0x1DC0, 0x1DFF}, Range{0x200B, 0x200F}, Range{0x20D0, 0x20FF},
                                   Range{0xFE00, 0xFE0F}, Range{0xFE20, 0xFE2F}};

bool is_in(const auto& ranges, uint32_t character) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Range& range) { return character >= range.first && character <= range.last; });
}

// The character at text[at] and its bytes; a byte that begins no whole character stands for itself.
struct Character {
  uint32_t value;
  size_t bytes;
};
Character character_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(text[at + i])); };
  const uint32_t lead = byte(0);
  const size_t n = lead >= 0xF0 && lead < 0xF8   ? 4
                   : lead >= 0xE0 && lead < 0xF0 ? 3
                   : lead >= 0xC0 && lead < 0xE0 ? 2
                                                 : 1;
  if (n == 1 || at + n > text.size()) return {lead, 1};
  uint32_t value = lead & (0xFFU >> (n + 1));
  for (size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {lead, 1};
    value = (value << 6) | (byte(i) & 0x3FU);
  }
  return {value, n};
}

int64_t columns_of(uint32_t character) { return is_in(kCombining, character) ? 0 : is_in(kWide, character) ? 2 : 1; }

// The most bytes of `text` that are whole characters in at most `columns`.
size_t bytes_that_fit(std::string_view text, int64_t columns) {
  size_t at = 0;
  int64_t used = 0;
  while (at < text.size()) {
    const auto character = character_at(text, at);
    used += columns_of(character.value);
    if (used > columns) break;
    at += character.bytes;
  }
  return at;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const auto [value, bytes] = character_at(text, at);
    const std::string_view raw = text.substr(at, bytes);
    at += bytes;
    const bool is_control = value < 0x20 || (value >= 0x7F && value < 0xA0), is_no_utf8 = bytes == 1 && value >= 0x80;
    if (raw == "\n" || raw == "\t") {
      out += raw == "\n" ? "\\n" : "\\t";
    } else if (!is_control && !is_no_utf8) {
      out += raw;
    } else {
      for (const char c : raw) {
        std::array<char, 8> escaped{};
        std::snprintf(escaped.data(), escaped.size(), "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        out += escaped.data();
      }
    }
  }
  return out;
}

int64_t count_columns(std::string_view text) {
  int64_t columns = 0;
  for (size_t at = 0; at < text.size();) {
    const auto character = character_at(text, at);
    columns += columns_of(character.value);
    at += character.bytes;
  }
  return columns;
}

std::string fit_fields(std::string_view text, int64_t columns) {
  const size_t fits = bytes_that_fit(text, columns);
  if (fits == text.size()) return std::string(text);
  // The last border up to which everything fits: fields end where two spaces begin.
  const size_t border = text.rfind("  ", fits);
  return std::string(text.substr(0, border == std::string_view::npos || border == 0 ? fits : border));
}

}  // namespace evenkeel
