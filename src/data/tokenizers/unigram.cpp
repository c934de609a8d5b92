#include "data/tokenizers/unigram.h"

#include <algorithm>
#include <limits>

#include "core/errors.h"
#include "core/json_error.h"
#include "core/json_value.h"
#include "data/tokenizers/code_points.h"
#include "data/tokenizers/pattern.h"
#include "data/utf8.h"

namespace evenkeel::data {
namespace {
constexpr double kUnknownPenalty = 10;  // below the worst score
}  // namespace

UnigramSpec read_unigram(const Json& model) {
  UnigramSpec out;
  for (const auto& entry : model.at("vocab").as_array())
    out.tokens.emplace_back(entry.at(size_t{0}).as_string(), entry.at(size_t{1}).as_double());
  if (out.tokens.empty()) throw JsonError("got no token; need one at least", model.at("vocab"));
  if (const Json* unknown = find_value(model, "unk_id")) {
    const int64_t id = unknown->as_int(), end = static_cast<int64_t>(out.tokens.size());
    if (id < 0 || id >= end) throw JsonError(join_parts("got ", id, "; need an id from 0 to ", end - 1), *unknown);
    out.unknown = static_cast<int32_t>(id);
  }
  out.falls_back_to_bytes = bool_or(model, "byte_fallback", false);
  return out;
}

Unigram::Unigram(UnigramSpec spec) : spec_(std::move(spec)) {
  double worst = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < spec_.tokens.size(); ++i) {
    const auto& [token, score] = spec_.tokens[i];
    vocabulary_.add(token, static_cast<int32_t>(i));
    scores_.push_back(score);
    worst = std::min(worst, score);
  }
  unknown_score_ = worst - kUnknownPenalty;
  std::vector<std::pair<std::string_view, int32_t>> pieces;
  for (const auto& [token, id] : vocabulary_.ids())
    if (!token.empty()) pieces.emplace_back(token, id);
  trie_ = PieceTrie(std::move(pieces));
  for (int byte = 0; spec_.falls_back_to_bytes && byte < 256; ++byte)
    byte_ids_.push_back(vocabulary_.id_of(byte_token(static_cast<unsigned char>(byte))).value_or(-1));
}

void Unigram::find_paths(std::string_view piece, std::vector<BestPath>& paths) const {
  paths.assign(piece.size() + 1, {});
  const auto offer = [&](size_t begin, size_t end, double score, int32_t id) {
    BestPath& path = paths[end];
    if (path.begin < 0 || score > path.score) path = {score, static_cast<int64_t>(begin), id};
  };
  for (size_t begin = 0, size = 0; begin < piece.size(); begin += size) {
    size = utf8_bytes(piece[begin]);
    const double score_here = paths[begin].score;
    bool has_character = false;
    trie_.each_prefix(piece.substr(begin), [&](size_t bytes, int32_t id) {
      offer(begin, begin + bytes, scores_[static_cast<size_t>(id)] + score_here, id);
      has_character = has_character || bytes == size;
    });
    if (!has_character) offer(begin, begin + size, unknown_score_ + score_here, unknown_id(piece.substr(begin, size)));
  }
}

int32_t Unigram::unknown_id(std::string_view segment) const {
  if (!spec_.unknown)
    fail<DataError>("text: got ", quoted_excerpt(segment),
                    ", which the vocabulary lacks, and it names no unknown token; need one");
  return *spec_.unknown;
}

// A segment of unknown text, or one token.
void Unigram::append_segment(std::string_view segment, std::vector<int32_t>& ids) const {
  if (const auto id = vocabulary_.id_of(segment)) {
    ids.push_back(*id);
    return;
  }
  const auto byte_id = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  if (!byte_ids_.empty() &&
      std::all_of(segment.begin(), segment.end(), [&](char byte) { return byte_id(byte) >= 0; })) {
    for (const char byte : segment) ids.push_back(byte_id(byte));
    return;
  }
  ids.push_back(unknown_id(segment));
}

void Unigram::encode(std::string_view piece, Workspace& workspace, std::vector<int32_t>& ids) const {
  const bool is_kept = WordCache::keeps(piece);
  const uint64_t hash = is_kept ? hash_of_word(piece) : 0;
  if (is_kept && workspace.cache.append(piece, hash, ids)) return;
  auto& paths = workspace.paths;
  find_paths(piece, paths);
  std::vector<size_t> ends;  // of the tokens of the best path, the last one first
  for (size_t end = piece.size(); end > 0; end = static_cast<size_t>(paths[end].begin)) ends.push_back(end);
  const size_t n_before = ids.size();
  size_t begin = 0;  // of the token, or of the run of unknown ones that it ends
  for (size_t i = ends.size(); i-- > 0;) {
    const auto is_unknown = [&](size_t end) { return spec_.unknown && paths[end].id == *spec_.unknown; };
    if (is_unknown(ends[i]) && i > 0 && is_unknown(ends[i - 1])) continue;
    append_segment(piece.substr(begin, ends[i] - begin), ids);
    begin = ends[i];
  }
  if (is_kept) workspace.cache.keep(piece, hash, std::span(ids).subspan(n_before));
}

}  // namespace evenkeel::data
