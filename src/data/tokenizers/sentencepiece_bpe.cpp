#include "data/tokenizers/sentencepiece_bpe.h"

#include <algorithm>
#include <bit>
#include <map>

#include "data/tokenizers/code_points.h"

namespace evenkeel::data {
namespace {

// Scores in their order as numbers, of which -0 is below 0: the least for the best.
uint32_t order_of(float score) {
  const auto bits = std::bit_cast<uint32_t>(score);
  const uint32_t ascending = (bits & 1U << 31) != 0 ? ~bits : bits | 1U << 31;
  return ~ascending;
}

uint64_t key_of(char32_t first, char32_t second) { return static_cast<uint64_t>(first) << 32 | second; }

std::vector<size_t> character_begins(std::string_view text) {
  std::vector<size_t> out;
  for (size_t at = 0; at < text.size(); at += utf8_bytes(text[at])) out.push_back(at);
  return out;
}

// The pieces that are merged, the bytes to fall back to, and the unknown one.
BpeSpec spec_of(const SentencePieceModel& model) {
  BpeSpec out;
  for (size_t id = 0; id < model.pieces.size(); ++id)
    if (const auto& piece = model.pieces[id]; piece.type == PieceType::normal || piece.type == PieceType::byte)
      out.vocabulary.add(piece.text, static_cast<int32_t>(id));
  out.unknown = model.unknown;
  out.unknown_token = model.pieces[static_cast<size_t>(model.unknown)].text;
  out.falls_back_to_bytes = model.falls_back_to_bytes;
  return out;
}

}  // namespace

SentencePieceBpe::SentencePieceBpe(const SentencePieceModel& model)
    : unknown_(model), user_pieces_(model), first_inner_(static_cast<int32_t>(model.pieces.size())) {
  BpeSpec spec = spec_of(model);
  const auto id_of = [&](std::string_view part, bool is_character) -> std::optional<int32_t> {
    const auto known = spec.vocabulary.id_of(part);
    if (known && (*known >= first_inner_ || model.pieces[static_cast<size_t>(*known)].type == PieceType::normal))
      return known;
    if (!is_character) return std::nullopt;
    const auto id = first_inner_ + static_cast<int32_t>(inner_.size());
    inner_.emplace_back(part);
    spec.vocabulary.add(inner_.back(), id);
    return id;
  };
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& [text, score, type] = model.pieces[id];
    if (type != PieceType::normal) continue;
    const std::string_view piece = text;
    const auto begins = character_begins(piece);
    for (size_t i = 1; i < begins.size(); ++i) {
      const std::string_view before = piece.substr(begins[i - 1]), after = piece.substr(begins[i]);
      neighbours_.insert(key_of(first_code_point(before), first_code_point(after)), 1);
      const auto left = id_of(piece.substr(0, begins[i]), i == 1);
      const auto right = id_of(after, i + 1 == begins.size());
      if (left && right) spec.merges.push_back({*left, *right, static_cast<int32_t>(id), order_of(score)});
    }
  }
  bpe_ = std::make_unique<Bpe>(std::move(spec));
}

void SentencePieceBpe::encode(std::string_view normalized, std::vector<int32_t>& ids) const {
  const auto workspace = workspaces_.lease();
  size_t begin = 0, at = 0;  // of the word, and what is looked at
  const auto end_word = [&](size_t next) {
    if (begin < at) encode_word(normalized.substr(begin, at - begin), *workspace, ids);
    begin = at = next;
  };
  char32_t before = 0;
  while (at < normalized.size()) {
    const std::string_view rest = normalized.substr(at);
    if (const auto found = user_pieces_.first_of(rest)) {
      end_word(at + found->bytes);
      ids.push_back(found->id);
      continue;
    }
    const char32_t character = first_code_point(rest);
    if (begin < at && neighbours_.find(key_of(before, character)) == nullptr) end_word(at);
    before = character;
    at += utf8_bytes(rest[0]);
  }
  end_word(at);
}

void SentencePieceBpe::encode_word(std::string_view word, Workspace& workspace, std::vector<int32_t>& ids) const {
  size_t done = ids.size();
  const bool follows_unknown = done > 0 && ids[done - 1] == unknown_.id();
  bpe_->encode(word, workspace, ids);
  if (inner_.empty() && !follows_unknown &&
      std::find(ids.begin() + static_cast<std::ptrdiff_t>(done), ids.end(), unknown_.id()) == ids.end())
    return;
  const std::vector<int32_t> merged(ids.begin() + static_cast<std::ptrdiff_t>(done), ids.end());
  ids.resize(done);
  for (const int32_t id : merged) {
    if (id >= first_inner_) {
      unknown_.append(inner_[static_cast<size_t>(id - first_inner_)], ids);
    } else if (id != unknown_.id() || ids.empty() || ids.back() != unknown_.id()) {
      ids.push_back(id);
    }
  }
}

}  // namespace evenkeel::data
