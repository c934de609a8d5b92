#include "data/tokenizers/normal_forms.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include <utf8proc.h>

#include "core/errors.h"
#include "data/tokenizers/code_points.h"

namespace evenkeel::data {
namespace {

constexpr char32_t kCodePoints = 0x110000;
constexpr bool composes(NormalForm form) { return form == NormalForm::nfc || form == NormalForm::nfkc; }
constexpr bool is_compatible(NormalForm form) { return form == NormalForm::nfkc || form == NormalForm::nfkd; }

int options_of(NormalForm form) {
  return UTF8PROC_STABLE | (composes(form) ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
         (is_compatible(form) ? UTF8PROC_COMPAT : 0);
}

struct Range {
  char32_t first, last;
};
// What utf8proc would change or reorder and Unicode 9 does not: found by comparing the two on every code point.
constexpr Range kYounger[] = {
#include "data/tokenizers/younger_code_points.inc"
};

bool is_younger(char32_t code_point) {
  const auto* const after = std::upper_bound(std::begin(kYounger), std::end(kYounger), code_point,
                                             [](char32_t value, const Range& range) { return value < range.first; });
  return after != std::begin(kYounger) && code_point <= std::prev(after)->last;
}

// The text decomposed, with its marks in canonical order. utf8proc sorts them too, but in the square of their number.
std::string with_sorted_marks(std::string_view text, NormalForm form) {
  const auto options = static_cast<utf8proc_option_t>((options_of(form) & ~UTF8PROC_COMPOSE) | UTF8PROC_DECOMPOSE);
  const auto class_of = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  std::vector<utf8proc_int32_t> characters;
  for (size_t at = 0; at < text.size(); at += utf8_bytes(text[at])) {
    std::array<utf8proc_int32_t, 32> parts = {};  // no character has more
    int ignored = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(first_code_point(text.substr(at))),
                                           parts.data(), parts.size(), options, &ignored);
    characters.insert(characters.end(), parts.begin(), parts.begin() + n);
  }
  for (auto begin = characters.begin(); begin != characters.end();) {
    const auto end = std::find_if(begin, characters.end(), [&](auto c) { return class_of(c) == 0; });
    std::stable_sort(begin, end, [&](auto a, auto b) { return class_of(a) < class_of(b); });
    begin = end == characters.end() ? end : end + 1;
  }
  std::string out;
  for (const auto c : characters) append_utf8(out, static_cast<char32_t>(c));
  return out;
}

std::string mapped(std::string_view text, NormalForm form) {
  constexpr size_t kLongBytes = 512;
  std::string sorted;
  if (text.size() > kLongBytes) text = sorted = with_sorted_marks(text, form);
  utf8proc_uint8_t* out = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &out, static_cast<utf8proc_option_t>(options_of(form)));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owned(out, &std::free);
  require<MachineError>(size >= 0, "normalization: got '", utf8proc_errmsg(size), "'; need it to succeed");
  return {reinterpret_cast<const char*>(out), static_cast<size_t>(size)};
}

// The code points of one form that can change or move, or join the one before: text without any is in that form.
class Changes {
 public:
  explicit Changes(NormalForm form) : changes_(kCodePoints) {
    std::string character;
    for (char32_t code_point = 0x80; code_point < kCodePoints; ++code_point) {
      const auto* const property = utf8proc_get_property(static_cast<utf8proc_int32_t>(code_point));
      const bool decomposes = property->decomp_seqindex != UINT16_MAX || is_hangul_syllable(code_point);
      if (property->combining_class != 0) changes_[code_point] = true;
      if (!decomposes) continue;
      character.clear();
      append_utf8(character, code_point);
      if (mapped(character, form) != character) changes_[code_point] = true;
      if (composes(form)) mark_tail(mapped(character, NormalForm::nfd));
    }
    for (const auto& range : kYounger)
      for (char32_t code_point = range.first; code_point <= range.last; ++code_point) changes_[code_point] = false;
  }
  bool contains(char32_t code_point) const { return changes_[code_point]; }

 private:
  static bool is_hangul_syllable(char32_t code_point) { return code_point >= 0xAC00 && code_point <= 0xD7A3; }
  void mark_tail(std::string_view text) {
    for (size_t at = utf8_bytes(text[0]); at < text.size(); at += utf8_bytes(text[at]))
      changes_[first_code_point(text.substr(at))] = true;
  }
  std::vector<bool> changes_;
};

template <NormalForm form>
const Changes& changes_of_form() {
  static const Changes changes(form);
  return changes;
}
const Changes& changes_of(NormalForm form) {
  switch (form) {
    case NormalForm::nfc: return changes_of_form<NormalForm::nfc>();
    case NormalForm::nfd: return changes_of_form<NormalForm::nfd>();
    case NormalForm::nfkc: return changes_of_form<NormalForm::nfkc>();
    case NormalForm::nfkd: return changes_of_form<NormalForm::nfkd>();
  }
  fail<MachineError>("normalization: got a form that is none");
}

}  // namespace

void normalize(std::string& text, NormalForm form) {
  if (std::all_of(text.begin(), text.end(), [](char byte) { return static_cast<unsigned char>(byte) < 0x80; })) return;
  const Changes& changes = changes_of(form);
  const std::string_view from = text;
  std::string out;
  size_t copied = 0;  // bytes of `from` that `out` holds
  size_t before = 0;  // begin of the character before `at`
  for (size_t at = 0; at < from.size();) {
    const bool is_ascii = static_cast<unsigned char>(from[at]) < 0x80;
    if (is_ascii || !changes.contains(first_code_point(from.substr(at)))) {
      before = at;
      at += utf8_bytes(from[at]);
      continue;
    }
    // A run of what may change, with the character that it may join.
    size_t begin = at;
    if (before < at && before >= copied && !is_younger(first_code_point(from.substr(before)))) begin = before;
    while (at < from.size() && changes.contains(first_code_point(from.substr(at)))) at += utf8_bytes(from[at]);
    out += from.substr(copied, begin - copied);
    out += mapped(from.substr(begin, at - begin), form);
    copied = before = at;
  }
  if (copied == 0) return;
  out += from.substr(copied);
  text = std::move(out);
}

}  // namespace evenkeel::data
