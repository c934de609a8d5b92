#include "analysis/own_load.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/id_stats.h"
#include "core/rng.h"

namespace evenkeel::analysis {
namespace {

constexpr int64_t kDraws = 8192;           // of a level, at least
constexpr int64_t kMostExact = 1'000'000;  // occurrences

double sum_of(std::span<const int64_t> counts) {
  return static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
}

}  // namespace

double load_agreement(std::span<const int64_t> a, std::span<const int64_t> b) {
  double same = 0;
  for (size_t e = 0; e < a.size(); ++e) same += static_cast<double>(a[e]) * static_cast<double>(b[e]);
  return same / (sum_of(a) * sum_of(b));
}

double load_share_std(int64_t n, int64_t top_k, std::span<const int64_t> load) {
  const double sum = sum_of(load), even = 1 / static_cast<double>(load.size()), k = static_cast<double>(top_k);
  double square = 0;
  for (const int64_t count : load) {
    const double share = static_cast<double>(count) / sum, chosen = std::min(1.0, k * share);
    square += (share - even) * (share - even) + chosen * (1 - chosen) / (static_cast<double>(n) * k * k);
  }
  return std::sqrt(square * even);
}

double load_share_overlap(const IdSize& id, std::span<const int64_t> from, std::span<const int64_t> to) {
  const double sum_from = sum_of(from), sum_to = sum_of(to), k = static_cast<double>(id.top_k);
  const int64_t n = std::min(id.occurrences, kMostExact);
  double common = 0;
  for (size_t e = 0; e < from.size(); ++e)
    common += mean_smaller_share({n, std::min(1.0, k * static_cast<double>(from[e]) / sum_from)},
                                 {n, std::min(1.0, k * static_cast<double>(to[e]) / sum_to)});
  return common / k;
}

LoadFavourite::LoadFavourite(std::span<const int64_t> load) : up_to_(load.size()) {
  std::partial_sum(load.begin(), load.end(), up_to_.begin());
}

int64_t LoadFavourite::draw(int64_t n, int64_t n_replicas) const {
  RngStream rng(1, "own load", static_cast<uint64_t>(n));
  std::vector<int64_t> counts(up_to_.size());
  int64_t sum = 0;
  for (int64_t replica = 0; replica < n_replicas; ++replica) {
    std::fill(counts.begin(), counts.end(), 0);
    int64_t most = 0;
    for (int64_t i = 0; i < n; ++i) {
      const auto choice = static_cast<int64_t>(rng.below(static_cast<uint64_t>(up_to_.back())));
      const auto expert = std::upper_bound(up_to_.begin(), up_to_.end(), choice) - up_to_.begin();
      most = std::max(most, ++counts[static_cast<size_t>(expert)]);
    }
    sum += most;
  }
  return sum;
}

double LoadFavourite::mean_max_share(int64_t n) {
  if (n == 1) return 1.0;
  const auto [level, is_new] = levels_.try_emplace(n, 0.0);
  if (is_new) {
    const int64_t n_replicas = (kDraws + n - 1) / n;
    level->second = static_cast<double>(draw(n, n_replicas)) / static_cast<double>(n * n_replicas);
  }
  return level->second;
}

}  // namespace evenkeel::analysis
