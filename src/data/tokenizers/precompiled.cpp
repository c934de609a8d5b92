#include "data/tokenizers/precompiled.h"

#include <cstring>

#include <utf8proc.h>

#include "core/errors.h"
#include "core/json_error.h"
#include "data/tokenizers/base64.h"
#include "data/tokenizers/code_points.h"

namespace evenkeel::data {
namespace {

constexpr size_t kMostGraphemeBytes = 5;  // of those that are looked up as a whole

// The fields of a unit of darts-clone.
uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }
uint32_t label_of(uint32_t unit) { return unit & (1U << 31 | 0xFF); }
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value_of(uint32_t unit) { return unit & ~(1U << 31); }

size_t grapheme_bytes(std::string_view text) {
  utf8proc_int32_t state = 0;
  auto before = static_cast<utf8proc_int32_t>(first_code_point(text));
  size_t size = utf8_bytes(text[0]);
  while (size < text.size()) {
    const auto next = static_cast<utf8proc_int32_t>(first_code_point(text.substr(size)));
    const auto* const newer = newer_code_point(static_cast<char32_t>(next));
    const int bounds = utf8proc_get_property(before)->boundclass;
    const bool is_control =
        bounds == UTF8PROC_BOUNDCLASS_CR || bounds == UTF8PROC_BOUNDCLASS_LF || bounds == UTF8PROC_BOUNDCLASS_CONTROL;
    const bool is_newer_mark = newer != nullptr && newer->category[0] == 'M' && !is_control;  // joins what is before it
    if (utf8proc_grapheme_break_stateful(before, next, &state) && !is_newer_mark) break;
    before = next;
    size += utf8_bytes(text[size]);
  }
  return size;
}

}  // namespace

template <class Take>
void Precompiled::each_rule(std::string_view text, Take&& take) const {
  if (units_.empty()) return;
  size_t node = offset_of(units_[0]);
  for (size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte == 0) return;
    node ^= byte;
    if (node >= units_.size() || label_of(units_[node]) != byte) return;
    const uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (node >= units_.size() || value_of(units_[node]) >= texts_.size()) return;
    if (!take(Rule{at + 1, texts_.c_str() + value_of(units_[node])})) return;
  }
}

// The text for the shortest beginning of the chunk that has one, in place of all of it.
bool Precompiled::append_mapped(std::string_view chunk, std::string& out) const {
  bool is_mapped = false;
  each_rule(chunk, [&](const Rule& rule) {
    out += rule.text;
    is_mapped = true;
    return false;
  });
  return is_mapped;
}

std::optional<Precompiled::Rule> Precompiled::longest_rule(std::string_view text) const {
  std::optional<Rule> out;
  each_rule(text, [&](const Rule& rule) {
    out = rule;
    return true;
  });
  return out;
}

bool Precompiled::apply(std::string& text) const {
  std::string out;
  out.reserve(text.size());
  const std::string_view all = text;
  for (size_t at = 0; at < all.size();) {
    const std::string_view grapheme = all.substr(at, grapheme_bytes(all.substr(at)));
    at += grapheme.size();
    if (grapheme.size() <= kMostGraphemeBytes && append_mapped(grapheme, out)) continue;
    for (size_t i = 0; i < grapheme.size(); i += utf8_bytes(grapheme[i])) {
      const std::string_view character = grapheme.substr(i, utf8_bytes(grapheme[i]));
      if (!append_mapped(character, out)) out += character;
    }
  }
  text = std::move(out);
  return false;
}

Precompiled read_charsmap(std::string_view charsmap) {
  uint32_t size = 0;
  require<DataError>(charsmap.size() >= sizeof size, "got a map of characters of ", charsmap.size(), " bytes; need ",
                     sizeof size, " at least");
  std::memcpy(&size, charsmap.data(), sizeof size);
  require<DataError>(size % sizeof(uint32_t) == 0 && size <= charsmap.size() - sizeof size, "got a trie of ", size,
                     " bytes in a map of ", charsmap.size(), "; need less, and a multiple of 4");
  std::vector<uint32_t> units(size / sizeof(uint32_t));
  if (size > 0) std::memcpy(units.data(), charsmap.data() + sizeof size, size);  // an empty vector has no address
  return {std::move(units), std::string(charsmap.substr(sizeof size + size))};
}

Precompiled read_precompiled(const Json& charsmap) {
  const auto bytes = from_base64(charsmap.as_string());
  if (!bytes) throw JsonError("got no map of characters; need one in base64", charsmap);
  try {
    return read_charsmap(*bytes);
  } catch (const DataError& error) {
    throw JsonError(error.what(), charsmap);
  }
}

}  // namespace evenkeel::data
