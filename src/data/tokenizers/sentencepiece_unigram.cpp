#include "data/tokenizers/sentencepiece_unigram.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/tokenizers/code_points.h"

namespace evenkeel::data {
namespace {
constexpr float kUnknownPenalty = 10;    // below the worst score
constexpr float kMostScore = 100'000;    // beyond it, up or down, scores begin again from 0
constexpr size_t kOpenBytes = 1U << 14;  // of text whose path is open before it is settled
}  // namespace

SentencePieceUnigram::SentencePieceUnigram(const SentencePieceModel& model) : unknown_(model) {
  std::vector<std::pair<std::string_view, int32_t>> pieces;
  float worst = std::numeric_limits<float>::max();
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& [text, score, type] = model.pieces[id];
    const bool is_user_defined = type == PieceType::user_defined;
    // So much that a user-defined piece is always taken.
    scores_.push_back(is_user_defined ? static_cast<float>(0.1 * (static_cast<double>(text.size()) - 1)) : score);
    if (type == PieceType::normal) worst = std::min(worst, score);
    if (type != PieceType::normal && !is_user_defined) continue;
    pieces.emplace_back(text, static_cast<int32_t>(id));
    most_bytes_ = std::max(most_bytes_, text.size());
  }
  unknown_score_ = worst - kUnknownPenalty;
  trie_ = PieceTrie(std::move(pieces));
}

// The best way to each place of the text that is open.
class SentencePieceUnigram::Paths {
 public:
  Paths(std::string_view text, size_t most_bytes)
      : text_(text), most_bytes_(most_bytes), ends_(std::min(text.size(), kOpenBytes + most_bytes) + 1) {}

  // The score up to `at`, from where pieces will be offered next.
  float begin(size_t at) {
    const float score = ends_[at - origin_].score;
    if (std::abs(score) <= kMostScore) return score;
    for (size_t i = at; i <= furthest_; ++i)
      if (i == at || ends_[i - origin_].bytes > 0) ends_[i - origin_].score -= score;
    return 0;
  }
  void offer(size_t end, size_t bytes, float score, int32_t id) {
    End& best = ends_[end - origin_];
    furthest_ = std::max(furthest_, end);
    if (best.bytes == 0 || score > best.score) best = {score, id, static_cast<uint32_t>(bytes)};
  }
  bool is_full(size_t at) const { return std::min(at + most_bytes_, text_.size()) - origin_ >= ends_.size(); }
  // The places that a piece may still begin at, and all that a piece ends at beyond: where their paths meet.
  size_t meeting(size_t at) {
    std::vector<size_t> open;  // a heap
    for (size_t i = at; i <= furthest_; ++i)
      if (i == at || ends_[i - origin_].bytes > 0) open.push_back(i);
    std::make_heap(open.begin(), open.end());
    while (open.size() > 1) {
      std::pop_heap(open.begin(), open.end());
      const size_t last = open.back();
      open.pop_back();
      if (last == open.front()) continue;
      open.push_back(last - ends_[last - origin_].bytes);
      std::push_heap(open.begin(), open.end());
    }
    return open.front();
  }
  // Calls take(id, text) for the pieces of the path to `end`.
  template <class Take>
  void hand_out(size_t end, Take&& take) {
    places_.clear();
    for (size_t place = end; place > origin_; place -= ends_[place - origin_].bytes) places_.push_back(place);
    for (size_t i = places_.size(); i-- > 0;) {
      const End& piece = ends_[places_[i] - origin_];
      take(piece.id, text_.substr(places_[i] - piece.bytes, piece.bytes));
    }
  }
  void forget(size_t place) {  // what lies before it
    std::copy(ends_.begin() + static_cast<std::ptrdiff_t>(place - origin_),
              ends_.begin() + static_cast<std::ptrdiff_t>(furthest_ - origin_ + 1), ends_.begin());
    std::fill(ends_.begin() + static_cast<std::ptrdiff_t>(furthest_ - place + 1), ends_.end(), End());
    origin_ = place;
  }
  // More room where most of it is in use: so that meetings are looked for seldom.
  void make_room(size_t at) {
    if (is_full(at) || at - origin_ > ends_.size() / 2)
      ends_.resize(std::max(ends_.size(), std::min(2 * ends_.size(), text_.size() - origin_ + 1)));
  }

 private:
  struct End {
    float score = 0;
    int32_t id = 0;      // of the last piece
    uint32_t bytes = 0;  // of it, 0: no way leads here
  };
  std::string_view text_;
  size_t most_bytes_;
  std::vector<End> ends_;  // from origin_ on
  size_t origin_ = 0, furthest_ = 0;
  std::vector<size_t> places_;
};

void SentencePieceUnigram::encode(std::string_view normalized, std::vector<int32_t>& ids) const {
  Paths paths(normalized, most_bytes_);
  const auto take = [&](int32_t id, std::string_view text) {
    if (id == unknown_.id()) {
      unknown_.append(text, ids);
    } else {
      ids.push_back(id);
    }
  };
  for (size_t at = 0, size = 0; at < normalized.size(); at += size) {
    if (paths.is_full(at)) {
      const size_t place = paths.meeting(at);
      paths.hand_out(place, take);
      paths.forget(place);
      paths.make_room(at);
    }
    size = std::min(utf8_bytes(normalized[at]), normalized.size() - at);
    const float score_here = paths.begin(at);
    bool has_character = false;
    trie_.each_prefix(normalized.substr(at), [&](size_t bytes, int32_t id) {
      paths.offer(at + bytes, bytes, scores_[static_cast<size_t>(id)] + score_here, id);
      has_character = has_character || bytes == size;
    });
    if (!has_character) paths.offer(at + size, size, unknown_score_ + score_here, unknown_.id());
  }
  paths.hand_out(normalized.size(), take);
}

}  // namespace evenkeel::data
