#include "data/tokenizers/added_tokens.h"

#include <algorithm>

#include "core/errors.h"
#include "core/json_error.h"
#include "data/tokenizers/code_points.h"
#include "data/tokenizers/pattern.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {

constexpr size_t kMostTokenBytes = 1024;  // a text is searched in its length times that of the longest token

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word_character(first_code_point(text.substr(last_character_begin(text))));
}
bool starts_with_word(std::string_view text) { return !text.empty() && is_word_character(first_code_point(text)); }

size_t space_begin(std::string_view text) {
  size_t begin = text.size();
  while (begin > 0) {
    const size_t last = last_character_begin(text.substr(0, begin));
    if (!is_white_space(first_code_point(text.substr(last)))) break;
    begin = last;
  }
  return begin;
}
size_t space_end(std::string_view text) {
  size_t end = 0;
  while (end < text.size() && is_white_space(first_code_point(text.substr(end)))) end += utf8_bytes(text[end]);
  return end;
}

}  // namespace

std::vector<AddedToken> read_added_tokens(const Json& json) {
  std::vector<AddedToken> out;
  for (const auto& entry : json.as_array()) {
    AddedToken token;
    const Json& id = entry.at("id");
    if (id.as_int() < 0 || id.as_int() > INT32_MAX) throw JsonError("got " + id.dump() + "; need an id", id);
    token.id = static_cast<int32_t>(id.as_int());
    token.content = entry.at("content").as_string();
    if (token.content.size() > kMostTokenBytes)
      throw JsonError(join_parts("got a token of ", token.content.size(), " bytes; need at most ", kMostTokenBytes),
                      entry);
    token.is_special = bool_or(entry, "special", false);
    token.is_normalized = bool_or(entry, "normalized", !token.is_special);
    token.is_single_word = bool_or(entry, "single_word", false);
    token.takes_space_left = bool_or(entry, "lstrip", false);
    token.takes_space_right = bool_or(entry, "rstrip", false);
    out.push_back(std::move(token));
  }
  return out;
}

void TokenFinder::add(const std::string& pattern, const AddedToken& token) {
  if (pattern.empty()) return;
  starts_[static_cast<unsigned char>(pattern[0])] = true;
  Node node;
  uint64_t key = 0;
  for (const char byte : pattern) {
    key = static_cast<uint64_t>(node.index) << 8 | static_cast<unsigned char>(byte);
    const Node* const found = trie_.find(key);
    node = found != nullptr ? *found : Node{n_nodes_++, -1};
    if (found == nullptr) trie_.insert(key, node);
  }
  if (node.token >= 0) return;
  trie_.insert(key, {node.index, static_cast<int32_t>(tokens_.size())});
  tokens_.push_back(
      {token.id, token.is_special, token.is_single_word, token.takes_space_left, token.takes_space_right});
}

std::optional<TokenFinder::Found> TokenFinder::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<unsigned char>(text[begin])]) continue;
    std::optional<Found> longest;
    uint64_t node = 0;
    for (size_t end = begin; end < text.size();) {
      const Node* const next = trie_.find(node << 8 | static_cast<unsigned char>(text[end]));
      if (next == nullptr) break;
      node = next->index;
      ++end;
      if (next->token >= 0) longest = Found{{begin, end}, &tokens_[static_cast<size_t>(next->token)]};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

std::optional<TextPart> TokenFinder::next(std::string_view text, Progress& progress) const {
  while (!progress.token) {
    const auto found = tokens_.empty() ? std::nullopt : find(text, progress.search);
    if (!found) {
      if (progress.done >= text.size()) return std::nullopt;
      const Span rest{progress.done, text.size()};
      progress.done = progress.search = text.size();
      return TextPart{rest, std::nullopt};
    }
    progress.search = found->span.end;
    const Token& token = *found->token;
    auto [begin, end] = found->span;
    if (token.is_special && !progress.finds_special) continue;
    if (token.is_single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) continue;
    // Spaces that the token before has taken are not taken again.
    if (token.takes_space_left) begin = std::max(space_begin(text.substr(0, begin)), progress.done);
    if (token.takes_space_right) end += space_end(text.substr(end));
    if (begin >= end) {  // the token before has taken all of it
      progress.done = end;
      continue;
    }
    progress.token = TextPart{{begin, end}, token.id};
    if (progress.done < begin) {
      const Span before{progress.done, begin};
      progress.done = begin;
      return TextPart{before, std::nullopt};
    }
  }
  const TextPart out = *progress.token;
  progress.token.reset();
  progress.done = out.span.end;
  return out;
}

}  // namespace evenkeel::data
