#include "data/tokenizers/piece_list.h"

#include <algorithm>

#include "data/tokenizers/code_points.h"

namespace evenkeel::data {
namespace {

constexpr size_t kMostBytes = 64, kMostCharacters = 16;
constexpr char32_t kSpace = U'\u2581';

size_t kind_of(std::string_view character) {
  const char32_t c = first_code_point(character);
  return c == kSpace ? 0 : is_numeric(c) ? 1 : is_word_character(c) ? 2 : 3;
}

size_t n_characters(std::string_view text) {
  size_t n = 0;
  for (size_t at = 0; at < text.size(); at += utf8_bytes(text[at])) ++n;
  return n;
}

}  // namespace

void PieceList::add(std::string_view text, bool is_ordinary) {
  if (is_ordinary) note_form(text);
  texts_.emplace(text);
  pieces_.push_back({std::string(text), is_ordinary && !text.empty()});
}

void PieceList::note_form(std::string_view text) {
  longest_ = std::max(longest_, n_characters(text));
  if (form_ == PieceForm::bytes) return;
  for (size_t at = 0, next = 0; at < text.size(); at = next) {
    next = at + utf8_bytes(text[at]);
    if (next < text.size()) meet_[kind_of(text.substr(at))][kind_of(text.substr(next))] = true;
  }
}

int32_t PieceList::add_new(const std::string& text) {
  texts_.insert(text);
  pieces_.push_back({text, true});
  return static_cast<int32_t>(pieces_.size()) - 1;
}

bool PieceList::may_meet(std::string_view left, std::string_view right) const {
  const size_t most = std::max(longest_, form_ == PieceForm::bytes ? kMostBytes : kMostCharacters);
  if (n_characters(left) + n_characters(right) > most) return false;
  return form_ == PieceForm::bytes || meet_[kind_of(left.substr(last_character_begin(left)))][kind_of(right)];
}

std::optional<int32_t> PieceList::join(int32_t left, int32_t right) {
  if (!is_ordinary(left) || !is_ordinary(right) || !may_meet(text(left), text(right))) return std::nullopt;
  const std::string both = text(left) + text(right);
  return has(both) ? std::nullopt : std::optional(add_new(both));
}

}  // namespace evenkeel::data
