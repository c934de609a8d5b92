#include "data/utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "core/errors.h"
#include "core/json.h"

namespace evenkeel::data {
namespace {

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

// Bytes of the character at the start of [p, end), 0 when there is no valid one. p < end.
size_t character_bytes(const unsigned char* p, const unsigned char* end) {
  const unsigned char lead = p[0];
  if (lead < 0x80) return 1;
  const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || static_cast<size_t>(end - p) < size) return 0;
  for (size_t i = 1; i < size; ++i)
    if (!is_continuation(p[i])) return 0;
  // The second byte excludes overlong forms (E0, F0), surrogates (ED) and code points past U+10FFFF (F4).
  if ((lead == 0xE0 && p[1] < 0xA0) || (lead == 0xED && p[1] > 0x9F)) return 0;
  if ((lead == 0xF0 && p[1] < 0x90) || (lead == 0xF4 && p[1] > 0x8F)) return 0;
  return size;
}

}  // namespace

size_t valid_utf8_bytes(std::string_view text) {
  const auto* const begin = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = begin + text.size();
  const auto* p = begin;
  while (p < end) {
    uint64_t word = 0;
    if (end - p >= 8) {
      std::memcpy(&word, p, sizeof word);
      if ((word & 0x8080808080808080ULL) == 0) {  // eight ASCII characters
        p += 8;
        continue;
      }
    }
    const size_t size = character_bytes(p, end);
    if (size == 0) break;
    p += size;
  }
  return static_cast<size_t>(p - begin);
}

void require_utf8(std::string_view text) {
  const size_t valid = valid_utf8_bytes(text);
  require<DataError>(valid == text.size(), "text: got ", quoted_excerpt(text.substr(valid)), " at byte ", valid + 1,
                     ", which is no UTF-8; need UTF-8 text");
}

std::string with_invalid_mended(std::string_view bytes,
                                const std::function<size_t(std::string_view rest, std::string& out)>& mend) {
  std::string out;
  while (!bytes.empty()) {
    const size_t valid = valid_utf8_bytes(bytes);
    out += bytes.substr(0, valid);
    bytes.remove_prefix(valid);
    if (!bytes.empty()) bytes.remove_prefix(mend(bytes, out));
  }
  return out;
}

size_t utf8_cut(std::string_view text, size_t limit) {
  if (limit >= text.size()) return text.size();
  size_t cut = limit;
  while (cut > 0 && limit - cut < 3 && is_continuation(static_cast<unsigned char>(text[cut]))) --cut;
  return cut > 0 ? cut : limit;
}

std::string quoted_excerpt(std::string_view text) {
  constexpr size_t kExcerptBytes = 40;
  const size_t size = utf8_cut(text, kExcerptBytes);
  return Json(text.substr(0, size)).dump() + (size < text.size() ? "..." : "");
}

}  // namespace evenkeel::data
