#include "data/tokenizers/pair_growth.h"

#include <map>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/rng.h"

namespace evenkeel::data {
namespace {

using Pairs = std::vector<std::pair<int32_t, int32_t>>;

// The pairs that are joined, with ids from `first` on.
Pairs grown(std::vector<CountedWord> words, int64_t n, int32_t first = 100) {
  Pairs out;
  const auto join = [&](int32_t left, int32_t right) -> std::optional<int32_t> {
    out.emplace_back(left, right);
    return first++;
  };
  const int64_t n_made = grow_pairs(std::move(words), n, join);
  EXPECT_EQ(n_made, static_cast<int64_t>(out.size()));
  return out;
}

// The same by counting all pairs anew for each piece.
Pairs grown_plainly(std::vector<CountedWord> words, int64_t n, int32_t first = 100) {
  Pairs out;
  while (static_cast<int64_t>(out.size()) < n) {
    std::map<std::pair<int32_t, int32_t>, int64_t> counts;
    for (const auto& [ids, count] : words)
      for (size_t i = 1; i < ids.size(); ++i) counts[{ids[i - 1], ids[i]}] += count;
    std::pair<int32_t, int32_t> best;
    int64_t most = 1;
    for (const auto& [pair, count] : counts)
      if (count > most) most = count, best = pair;
    if (most == 1) break;
    for (auto& [ids, count] : words) {
      std::vector<int32_t> joined;
      for (const int32_t id : ids) {
        joined.push_back(id);
        const size_t size = joined.size();
        if (size > 1 && std::pair(joined[size - 2], id) == best) {
          joined.pop_back();
          joined.back() = first;
        }
      }
      ids = joined;
    }
    out.push_back(best);
    ++first;
  }
  return out;
}

TEST(PairGrowth, JoinsTheMostFrequentPairFirst) {
  // (1 2) stands 5 times, (2 3) 6 times; then 1 with the new piece 5 times.
  EXPECT_EQ(grown({{{1, 2, 3}, 5}, {{2, 3}, 1}}, 9), (Pairs{{2, 3}, {1, 100}}));
}

TEST(PairGrowth, OfEquallyFrequentPairsTheLeastIdsComeFirst) {
  EXPECT_EQ(grown({{{7, 8}, 3}, {{2, 9}, 3}, {{2, 5}, 3}}, 3), (Pairs{{2, 5}, {2, 9}, {7, 8}}));
}

TEST(PairGrowth, LeavesOutWhatStandsOnce) {
  EXPECT_EQ(grown({{{1, 2}, 1}, {{3, 4}, 2}}, 9), (Pairs{{3, 4}}));
  EXPECT_EQ(grown({}, 9), Pairs());
}

TEST(PairGrowth, JoinsARunFromTheLeft) {
  // 1 1 1 1 1 has (1 1) four times; it becomes 100 100 1.
  EXPECT_EQ(grown({{{1, 1, 1, 1, 1}, 2}}, 9), (Pairs{{1, 1}, {100, 1}, {100, 101}}));
}

TEST(PairGrowth, APairThatMayNotBeJoinedIsAskedForOnce) {
  int n_asked = 0;
  const auto join = [&](int32_t left, int32_t) -> std::optional<int32_t> {
    n_asked += left == 1 ? 1 : 0;
    return left == 1 ? std::nullopt : std::optional(100);
  };
  EXPECT_EQ(grow_pairs({{{1, 2}, 9}, {{3, 4}, 2}}, 5, join), 1);
  EXPECT_EQ(n_asked, 1);
}

TEST(PairGrowth, IsThatOfCountingAnew) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    RngStream rng(seed, "words");
    std::vector<CountedWord> words(30);
    for (auto& [ids, count] : words) {
      count = static_cast<int64_t>(rng.below(4)) + 1;
      for (uint64_t i = rng.below(12); i > 0; --i) ids.push_back(static_cast<int32_t>(rng.below(4)));
    }
    EXPECT_EQ(grown(words, 40), grown_plainly(words, 40)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace evenkeel::data
