#include "data/tokenizers/code_points.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include <utf8proc.h>

namespace evenkeel::data {
namespace {

struct Range {
  char32_t first, last;
};

// The range that holds the code point, or nullptr.
template <class R, size_t n>
const R* range_of(const R (&ranges)[n], char32_t code_point) {
  const R* const after = std::upper_bound(std::begin(ranges), std::end(ranges), code_point,
                                          [](char32_t value, const R& range) { return value < range.first; });
  return after != std::begin(ranges) && code_point <= std::prev(after)->last ? std::prev(after) : nullptr;
}
template <class R, size_t n>
bool is_in(const R (&ranges)[n], char32_t code_point) {
  return range_of(ranges, code_point) != nullptr;
}

// Category N since Unicode 16 and 17.
constexpr Range kNewerNumbers[] = {{0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9}, {0x11DE0, 0x11DE9},
                                   {0x11F50, 0x11F59}, {0x16130, 0x16139}, {0x16D70, 0x16D79}, {0x16FF4, 0x16FF6},
                                   {0x1CCF0, 0x1CCF9}, {0x1D2C0, 0x1D2D3}, {0x1E4F0, 0x1E4F9}, {0x1E5F1, 0x1E5FA}};
// Category P of Unicode 15 and later, but not of Unicode 8.
constexpr Range kNewerPunctuation[] = {
    {0x61D, 0x61D},     {0x9FD, 0x9FD},     {0xA76, 0xA76},     {0xC77, 0xC77},     {0xC84, 0xC84},
    {0x1B4E, 0x1B4F},   {0x1B7D, 0x1B7F},   {0x2E43, 0x2E4F},   {0x2E52, 0x2E5D},   {0x10D6E, 0x10D6E},
    {0x10EAD, 0x10EAD}, {0x10ED0, 0x10ED0}, {0x10F55, 0x10F59}, {0x10F86, 0x10F89}, {0x113D4, 0x113D5},
    {0x113D7, 0x113D8}, {0x1144B, 0x1144F}, {0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C},
    {0x116B9, 0x116B9}, {0x1183B, 0x1183B}, {0x11944, 0x11946}, {0x119E2, 0x119E2}, {0x11A3F, 0x11A46},
    {0x11A9A, 0x11A9C}, {0x11A9E, 0x11AA2}, {0x11B00, 0x11B09}, {0x11BE1, 0x11BE1}, {0x11C41, 0x11C45},
    {0x11C70, 0x11C71}, {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F}, {0x11FFF, 0x11FFF}, {0x12FF1, 0x12FF2},
    {0x16D6D, 0x16D6F}, {0x16E97, 0x16E9A}, {0x16FE2, 0x16FE2}, {0x1E5FF, 0x1E5FF}, {0x1E95E, 0x1E95F}};
constexpr Range kFormerPunctuation[] = {{0x166D, 0x166D}, {0x111C9, 0x111C9}};  // of Unicode 8 alone

// Letters whose lower case came after Unicode 15: each range, and what is added to its members.
struct Lowering {
  char32_t first, last;
  int32_t offset;
};
constexpr Lowering kNewerLowercase[] = {{0x1C89, 0x1C89, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
                                        {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
                                        {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
                                        {0xA7DA, 0xA7DA, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
                                        {0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B}};

constexpr CodePointRange kNewer[] = {
#include "data/tokenizers/newer_code_points.inc"
};

char category_group(char32_t code_point) {
  return utf8proc_category_string(static_cast<utf8proc_int32_t>(code_point))[0];
}

}  // namespace

char32_t first_code_point(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[i])); };
  switch (utf8_bytes(text[0])) {
    case 1: return byte(0);
    case 2: return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3: return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    default: return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  }
}

size_t last_character_begin(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

void append_utf8(std::string& out, char32_t code_point) {
  utf8proc_uint8_t bytes[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

bool is_white_space(char32_t c) {
  return (c >= 9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_numeric(char32_t code_point) {
  if (code_point < 0x80) return code_point >= '0' && code_point <= '9';
  return category_group(code_point) == 'N' || is_in(kNewerNumbers, code_point);
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
  if (is_in(kFormerPunctuation, c)) return true;
  return category_group(c) == 'P' && !is_in(kNewerPunctuation, c);
}

bool is_word_character(char32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  if (c == 0x200C || c == 0x200D) return true;
  if ((c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
      (c >= 0x1F170 && c <= 0x1F189))
    return true;  // letters in circles and squares are alphabetic, though their category is So
  const auto* const newer = newer_code_point(c);
  const char* const category =
      newer != nullptr ? newer->category : utf8proc_category_string(static_cast<utf8proc_int32_t>(c));
  const std::string_view name(category, 2);
  return name[0] == 'L' || name[0] == 'M' || name == "Nd" || name == "Nl" || name == "Pc";
}

void append_lowercase(std::string& out, char32_t code_point) {
  if (code_point == 0x130) {  // the only letter whose lower case is two characters
    out += "i\u0307";
    return;
  }
  for (const auto& range : kNewerLowercase)
    if (code_point >= range.first && code_point <= range.last)
      return append_utf8(out, code_point + static_cast<char32_t>(range.offset));
  append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))));
}

std::span<const CodePointRange> newer_code_points() { return kNewer; }

const CodePointRange* newer_code_point(char32_t code_point) { return range_of(kNewer, code_point); }

bool has_newer_code_point(std::string_view text) {
  // By pages of 64 code points, which rules most text out at once.
  static const std::vector<bool> pages = [] {
    std::vector<bool> out(0x110000 >> 6);
    for (const auto& range : kNewer)
      for (char32_t page = range.first >> 6; page <= range.last >> 6; ++page) out[page] = true;
    return out;
  }();
  for (size_t at = 0, size = 0; at < text.size(); at += size) {
    size = utf8_bytes(text[at]);
    if (size < 3) continue;  // below U+0800
    const char32_t code_point = first_code_point(text.substr(at));
    if (pages[code_point >> 6] && is_in(kNewer, code_point)) return true;
  }
  return false;
}

}  // namespace evenkeel::data
