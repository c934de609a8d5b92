#include "data/tokenizers/sentencepiece_normalizer.h"

#include <algorithm>

#include "core/errors.h"
#include "data/tokenizers/code_points.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

std::vector<std::pair<std::string_view, int32_t>> user_defined(const SentencePieceModel& model) {
  std::vector<std::pair<std::string_view, int32_t>> out;
  for (size_t id = 0; id < model.pieces.size(); ++id)
    if (model.pieces[id].type == PieceType::user_defined)
      out.emplace_back(model.pieces[id].text, static_cast<int32_t>(id));
  return out;
}

}  // namespace

UserPieces::UserPieces(const SentencePieceModel& model) : trie_(user_defined(model)) {
  for (const auto& [text, id] : user_defined(model)) starts_[static_cast<unsigned char>(text[0])] = true;
}

std::optional<UserPieces::Found> UserPieces::first_of(std::string_view text) const {
  if (text.empty() || !starts_[static_cast<unsigned char>(text[0])]) return std::nullopt;
  constexpr int kMostFound = 64;  // as in the library: of more that begin alike the longest are not looked at
  std::optional<Found> out;
  int n_found = 0;
  trie_.each_prefix(text, [&](size_t bytes, int32_t id) {
    if (++n_found <= kMostFound) out = {bytes, id};
  });
  return out;
}

SentencePieceNormalizer::SentencePieceNormalizer(const SentencePieceModel& model)
    : user_pieces_(model),
      map_(model.map.empty() ? Precompiled({}, "") : read_charsmap(model.map)),
      space_(model.escapes_spaces ? "\u2581" : " "),
      adds_space_(model.adds_space && !model.adds_space_at_end),
      adds_space_at_end_(model.adds_space && model.adds_space_at_end),
      removes_extra_spaces_(model.removes_extra_spaces) {}

SentencePieceNormalizer::Step SentencePieceNormalizer::first_step(std::string_view text) const {
  if (const auto found = user_pieces_.first_of(text)) return {found->bytes, text.substr(0, found->bytes)};
  if (const auto rule = map_.longest_rule(text)) return {rule->bytes, rule->text};
  const size_t bytes = std::min(utf8_bytes(text[0]), text.size());
  return {bytes, text.substr(0, bytes)};
}

void SentencePieceNormalizer::append(std::string& out, std::string_view text) const {
  for (const char c : text) {
    if (c == ' ') {
      out += space_;
    } else {
      out += c;
    }
  }
}

std::string SentencePieceNormalizer::normalized(std::string_view text, bool starts_text) const {
  std::string out;
  if (removes_extra_spaces_)
    while (!text.empty()) {
      const Step step = first_step(text);
      if (step.text != " ") break;
      text.remove_prefix(step.bytes);
    }
  if (text.empty()) return out;
  out.reserve(text.size() + text.size() / 2);
  if (adds_space_ && starts_text) out += space_;
  bool follows_space = removes_extra_spaces_;
  while (!text.empty()) {
    Step step = first_step(text);
    text.remove_prefix(step.bytes);
    while (follows_space && step.text.starts_with(' ')) step.text.remove_prefix(1);
    append(out, step.text);
    if (!step.text.empty()) follows_space = removes_extra_spaces_ && step.text.ends_with(' ');
  }
  if (removes_extra_spaces_)
    while (out.ends_with(space_)) out.resize(out.size() - space_.size());
  if (adds_space_at_end_ && starts_text) out += space_;
  require<DataError>(valid_utf8_bytes(out) == out.size(), "text: got no UTF-8 after its normalization, from ",
                     quoted_excerpt(out), "; need a map of characters to UTF-8");
  return out;
}

}  // namespace evenkeel::data
