// The ids with the largest shares of an expert.
#pragma once

#include "analysis/analyses/cells.h"

namespace evenkeel::analysis {

struct TopId {
  int64_t id = 0, count = 0, occurrences = 0;
  bool is_favourite = true;  // no expert has more of the id
  // Larger share first; of equal shares the one with more tokens, then the lower id. Compared as products, which are
  // exact below 2^63.
  bool operator<(const TopId& other) const {
    const int64_t left = count * other.occurrences, right = other.count * occurrences;
    if (left != right) return left > right;
    return count != other.count ? count > other.count : id < other.id;
  }
};

// Puts the id into the `most` best, which are sorted.
inline void insert_top(std::vector<TopId>& best, const TopId& id, size_t most) {
  if (best.size() == most && !(id < best.back())) return;
  best.insert(std::upper_bound(best.begin(), best.end(), id), id);
  if (best.size() > most) best.pop_back();
}

// visit(id, occurrences, counts [E]) for each id with at least minimum_count occurrences, ascending.
inline void for_ids(const PooledTally& tally, size_t layer, int64_t n_experts, int64_t minimum_count, auto visit) {
  std::vector<int64_t> counts(static_cast<size_t>(n_experts));
  for (const int64_t id : tally.ids()) {
    const int64_t occurrences = tally.occurrences(id);
    if (occurrences < std::max<int64_t>(minimum_count, 1)) continue;
    tally.counts(layer, id, counts);
    visit(id, occurrences, counts);
  }
}

}  // namespace evenkeel::analysis
