#include "data/tokenizers/bpe.h"

#include <algorithm>
#include <functional>

#include "core/errors.h"
#include "core/json_error.h"
#include "core/json_value.h"
#include "data/tokenizers/byte_alphabet.h"
#include "data/tokenizers/code_points.h"
#include "data/tokenizers/pattern.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

constexpr std::string_view kSpace = "\u2581";

uint64_t key_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// "a b" or ["a", "b"].
std::pair<std::string, std::string> parts_of(const Json& merge) {
  if (merge.is_array() && merge.size() == 2) return {merge.at(size_t{0}).as_string(), merge.at(size_t{1}).as_string()};
  const std::string& text = merge.as_string();
  const size_t space = text.find(' ');
  if (space == text.npos || text.find(' ', space + 1) != text.npos)
    throw JsonError("got " + quoted_excerpt(text) + "; need two tokens with one space between them", merge);
  return {text.substr(0, space), text.substr(space + 1)};
}

void read_merges(const Json& merges, BpeSpec& out) {
  const auto id_of = [&](const std::string& token, const Json& merge) {
    const auto id = out.vocabulary.id_of(token);
    if (!id) throw JsonError("got a merge with " + quoted_excerpt(token) + "; need tokens of the vocabulary", merge);
    return *id;
  };
  for (const auto& merge : merges.as_array()) {
    if (merge.is_string() && merge.as_string().starts_with("#version")) continue;
    const auto [left, right] = parts_of(merge);
    if (right.size() < out.prefix.size())
      throw JsonError("got " + quoted_excerpt(right) + " on the right; need a token that begins with the prefix",
                      merge);
    const auto rank = static_cast<uint32_t>(out.merges.size());
    out.merges.push_back(
        {id_of(left, merge), id_of(right, merge), id_of(left + right.substr(out.prefix.size()), merge), rank});
  }
}

std::string text_of(const Json& object, std::string_view key) {
  const Json* const value = find_value(object, key);
  return value != nullptr ? value->as_string() : "";
}

}  // namespace

BpeSpec read_bpe(const Json& model) {
  if (const Json* dropout = find_value(model, "dropout"); dropout != nullptr && dropout->as_double() != 0)
    throw JsonError(
        "got dropout " + dropout->dump() + ", which evenkeel lacks; need null: ids that do not depend on chance",
        *dropout);
  BpeSpec out;
  out.vocabulary = Vocabulary(model.at("vocab"));
  out.prefix = text_of(model, "continuing_subword_prefix");
  out.suffix = text_of(model, "end_of_word_suffix");
  out.fuses_unknown = bool_or(model, "fuse_unk", false);
  out.falls_back_to_bytes = bool_or(model, "byte_fallback", false);
  out.takes_whole_words = bool_or(model, "ignore_merges", false);
  read_merges(model.at("merges"), out);
  if (const Json* unknown = find_value(model, "unk_token")) {
    out.unknown_token = unknown->as_string();
    out.unknown = out.vocabulary.id_of(out.unknown_token);
  }
  return out;
}

Bpe::Bpe(BpeSpec spec) : spec_(std::move(spec)), merges_(spec_.merges.size()) {
  for (const auto& [left, right, merged, rank] : spec_.merges) merges_.insert(key_of(left, right), {rank, merged});
  has_all_bytes_ = true;
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    const auto value = static_cast<unsigned char>(byte);
    const std::string token = spec_.is_byte_level
                                  ? in_byte_alphabet(std::string_view(reinterpret_cast<const char*>(&value), 1))
                                  : byte_token(value);
    byte_ids_[byte] = spec_.vocabulary.id_of(token).value_or(-1);
    has_all_bytes_ = has_all_bytes_ && byte_ids_[byte] >= 0;
  }
  if (spec_.takes_whole_words)
    for (const auto& [token, id] : spec_.vocabulary.ids()) {
      const auto word = spec_.is_byte_level ? from_byte_alphabet(token) : token;
      if (word) words_[*word] = id;
    }
  cuts_at_spaces_ = has_word_starts();
}

bool Bpe::has_word_starts() const {
  if (spec_.is_byte_level || spec_.takes_whole_words || !spec_.prefix.empty() || !spec_.suffix.empty() ||
      !spec_.vocabulary.id_of(kSpace))
    return false;
  return std::none_of(spec_.vocabulary.ids().begin(), spec_.vocabulary.ids().end(), [](const auto& entry) {
    std::string_view token = entry.first;
    while (token.starts_with(kSpace)) token.remove_prefix(kSpace.size());
    return token.find(kSpace) != token.npos;
  });
}

void Bpe::encode(std::string_view piece, Workspace& workspace, std::vector<int32_t>& ids) const {
  if (!cuts_at_spaces_) return encode_word(piece, workspace, ids);
  while (!piece.empty()) {
    size_t end = 0;
    while (piece.substr(end).starts_with(kSpace)) end += kSpace.size();
    end = std::min(piece.find(kSpace, end), piece.size());
    encode_word(piece.substr(0, end), workspace, ids);
    piece.remove_prefix(end);
  }
}

void Bpe::encode_word(std::string_view word, Workspace& workspace, std::vector<int32_t>& ids) const {
  const bool is_kept = WordCache::keeps(word);
  const uint64_t hash = is_kept ? hash_of_word(word) : 0;
  if (is_kept && workspace.cache.append(word, hash, ids)) return;
  const size_t n_before = ids.size();
  const auto whole = words_.find(word);
  if (whole != words_.end()) {
    ids.push_back(whole->second);
  } else {
    require<DataError>(word.size() < INT32_MAX, "text: got ", word.size(), " bytes of one word; need less than ",
                       INT32_MAX);
    workspace.symbols.clear();
    spec_.is_byte_level ? split_into_bytes(word, workspace) : split_into_symbols(word, workspace);
    merge(workspace);
    for (const Symbol& symbol : workspace.symbols)
      if (!symbol.is_gone) ids.push_back(symbol.id);
  }
  if (is_kept) workspace.cache.keep(word, hash, std::span(ids).subspan(n_before));
}

namespace {

void add_symbol(std::vector<Symbol>& symbols, int32_t id) {
  const auto place = static_cast<int32_t>(symbols.size());
  symbols.push_back({id, place - 1, place + 1, false});
}

// Unknown characters wait until the next known one, as in the library: byte tokens may overtake them.
class WaitingUnknown {
 public:
  WaitingUnknown(const BpeSpec& spec, std::vector<Symbol>& symbols) : spec_(spec), symbols_(symbols) {}
  void add() {
    if (spec_.unknown_token.empty()) return;  // the library drops the character
    if (!spec_.unknown)
      fail<DataError>("text: got a character that the vocabulary lacks, and it lacks the unknown token ",
                      quoted_excerpt(spec_.unknown_token), " too; need one of them in it");
    if (is_waiting_ && !spec_.fuses_unknown) flush();
    is_waiting_ = true;
  }
  void flush() {
    if (is_waiting_) add_symbol(symbols_, *spec_.unknown);
    is_waiting_ = false;
  }

 private:
  const BpeSpec& spec_;
  std::vector<Symbol>& symbols_;
  bool is_waiting_ = false;
};

}  // namespace

void Bpe::split_into_bytes(std::string_view word, Workspace& workspace) const {
  WaitingUnknown unknown(spec_, workspace.symbols);
  for (const char byte : word) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(byte)];
    if (id < 0) {
      unknown.add();
      continue;
    }
    unknown.flush();
    add_symbol(workspace.symbols, id);
  }
  unknown.flush();
}

void Bpe::split_into_symbols(std::string_view word, Workspace& workspace) const {
  WaitingUnknown unknown(spec_, workspace.symbols);
  std::string affixed;
  for (size_t at = 0, size = 0; at < word.size(); at += size) {
    size = utf8_bytes(word[at]);
    std::string_view character = word.substr(at, size);
    const bool has_prefix = at > 0 && !spec_.prefix.empty();
    const bool has_suffix = at + size == word.size() && !spec_.suffix.empty();
    if (has_prefix || has_suffix) {
      affixed = (has_prefix ? spec_.prefix : "") + std::string(character) + (has_suffix ? spec_.suffix : "");
      character = affixed;
    }
    if (const auto id = spec_.vocabulary.id_of(character)) {
      unknown.flush();
      add_symbol(workspace.symbols, *id);
      continue;
    }
    const auto byte_id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
    const bool has_bytes =
        spec_.falls_back_to_bytes && (has_all_bytes_ || std::all_of(character.begin(), character.end(),
                                                                    [&](char byte) { return byte_id(byte) >= 0; }));
    if (!has_bytes) {
      unknown.add();
      continue;
    }
    for (const char byte : character) add_symbol(workspace.symbols, byte_id(byte));
  }
  unknown.flush();
}

const Bpe::Ranked* Bpe::merge_of(int32_t left, int32_t right) const { return merges_.find(key_of(left, right)); }

void Bpe::add_merge(Workspace& workspace, int32_t left, int32_t right) const {
  const auto& symbols = workspace.symbols;
  const Ranked* const found = merge_of(symbols[static_cast<size_t>(left)].id, symbols[static_cast<size_t>(right)].id);
  if (found == nullptr) return;
  workspace.merges.push_back(static_cast<uint64_t>(found->rank) << 32 | static_cast<uint32_t>(left));
}

void Bpe::merge(Workspace& workspace) const {
  auto& symbols = workspace.symbols;
  auto& heap = workspace.merges;
  heap.clear();
  if (symbols.empty()) return;
  symbols.back().next = -1;
  for (size_t i = 0; i + 1 < symbols.size(); ++i)
    add_merge(workspace, static_cast<int32_t>(i), static_cast<int32_t>(i + 1));
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t best = heap.back();
    heap.pop_back();
    const auto place = static_cast<int32_t>(best & UINT32_MAX);
    Symbol& left = symbols[static_cast<size_t>(place)];
    if (left.is_gone || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    // The pair may be another one by now. One of the same rank has its turn now too.
    const Ranked* const now = merge_of(left.id, right.id);
    if (now == nullptr || now->rank != best >> 32) continue;
    left.id = now->id;
    right.is_gone = true;
    left.next = right.next;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = place;
    const auto push = [&](int32_t from, int32_t to) {
      const size_t n = heap.size();
      add_merge(workspace, from, to);
      if (heap.size() > n) std::push_heap(heap.begin(), heap.end(), std::greater<>());
    };
    if (left.previous >= 0) push(left.previous, place);
    if (left.next >= 0) push(place, left.next);
  }
}

}  // namespace evenkeel::data
