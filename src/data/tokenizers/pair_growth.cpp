#include "data/tokenizers/pair_growth.h"

#include <algorithm>
#include <queue>
#include <unordered_map>
#include <utility>

namespace evenkeel::data {
namespace {

uint64_t key_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

struct Pair {
  int64_t count = 0;
  std::vector<uint32_t> words;  // that have it, or had it; ascending
};
struct Candidate {
  int64_t count;
  uint64_t key;
  bool operator<(const Candidate& other) const { return count != other.count ? count < other.count : key > other.key; }
};

class Growth {
 public:
  Growth(std::vector<CountedWord> words, const JoinPieces& join) : words_(std::move(words)), join_(join) {
    for (uint32_t word = 0; word < words_.size(); ++word) {
      count(word, 1);
      list(word, std::nullopt);
    }
    for (const auto& [key, pair] : pairs_) offer(key, pair.count);
  }

  // Joins the most frequent pair that may be joined; false where none is left. The count of an old pair only falls: a
  // candidate whose count is too high is offered again as it is now.
  bool step() {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      if (const int64_t now = pairs_[top.key].count; now != top.count) {
        offer(top.key, now);
        continue;
      }
      const auto left = static_cast<int32_t>(top.key >> 32), right = static_cast<int32_t>(top.key & UINT32_MAX);
      if (const auto id = join_(left, right)) {
        replace(left, right, *id);
        return true;
      }
    }
    return false;
  }

 private:
  void replace(int32_t left, int32_t right, int32_t id) {
    const auto words = std::move(pairs_[key_of(left, right)].words);
    new_keys_.clear();
    for (const uint32_t word : words) {
      auto& ids = words_[word].ids;
      count(word, -1);
      size_t end = 0;
      for (size_t i = 0; i < ids.size(); ++end) {
        const bool is_pair = i + 1 < ids.size() && ids[i] == left && ids[i + 1] == right;
        ids[end] = is_pair ? id : ids[i];
        i += is_pair ? 2 : 1;
      }
      ids.resize(end);
      count(word, 1);
      list(word, id);
    }
    pairs_.erase(key_of(left, right));
    std::sort(new_keys_.begin(), new_keys_.end());
    new_keys_.erase(std::unique(new_keys_.begin(), new_keys_.end()), new_keys_.end());
    for (const uint64_t key : new_keys_) offer(key, pairs_[key].count);
  }
  // Adds or takes away the pairs of a word. Of a run of equal ids, as a a a, each overlapping pair counts.
  void count(uint32_t word, int64_t sign) {
    const auto& [ids, n] = words_[word];
    for (size_t i = 1; i < ids.size(); ++i) pairs_[key_of(ids[i - 1], ids[i])].count += sign * n;
  }
  // Adds the word to the lists of its pairs, or of those that have the new id: it is in those of the others.
  void list(uint32_t word, std::optional<int32_t> id) {
    const auto& ids = words_[word].ids;
    for (size_t i = 1; i < ids.size(); ++i) {
      if (id && ids[i - 1] != *id && ids[i] != *id) continue;
      const uint64_t key = key_of(ids[i - 1], ids[i]);
      auto& words = pairs_[key].words;
      if (words.empty() || words.back() != word) words.push_back(word);
      if (id) new_keys_.push_back(key);
    }
  }
  void offer(uint64_t key, int64_t count) {
    if (count > 1) queue_.push({count, key});
  }

  std::vector<CountedWord> words_;
  const JoinPieces& join_;
  std::unordered_map<uint64_t, Pair> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<uint64_t> new_keys_;
};

}  // namespace

int64_t grow_pairs(std::vector<CountedWord> words, int64_t n, const JoinPieces& join) {
  Growth growth(std::move(words), join);
  int64_t n_made = 0;
  while (n_made < n && growth.step()) ++n_made;
  return n_made;
}

}  // namespace evenkeel::data
