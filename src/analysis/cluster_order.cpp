#include "analysis/cluster_order.h"

#include <algorithm>
#include <utility>

namespace evenkeel::analysis {
namespace {

using Items = std::vector<int64_t>;

// left and right, each forward or turned, whose ends that meet are most alike; the first of equals.
Items join(const Items& left, const Items& right, std::span<const double> similarity, size_t n) {
  Items best;
  double closest = 0;
  for (const bool turn_left : {false, true}) {
    for (const bool turn_right : {false, true}) {
      const int64_t end = turn_left ? left.front() : left.back(), begin = turn_right ? right.back() : right.front();
      const double alike = similarity[static_cast<size_t>(end) * n + static_cast<size_t>(begin)];
      if (!best.empty() && alike <= closest) continue;
      closest = alike;
      best = left;
      if (turn_left) std::reverse(best.begin(), best.end());
      if (turn_right) {
        best.insert(best.end(), right.rbegin(), right.rend());
      } else {
        best.insert(best.end(), right.begin(), right.end());
      }
    }
  }
  return best;
}

}  // namespace

std::vector<int64_t> cluster_order(std::span<const double> similarity, int64_t n_items) {
  const auto n = static_cast<size_t>(n_items);
  std::vector<Items> clusters(n);
  for (size_t i = 0; i < n; ++i) clusters[i] = {static_cast<int64_t>(i)};
  std::vector<double> between(similarity.begin(), similarity.end());  // [n, n] mean similarity of two clusters
  std::vector<size_t> alive(n);  // ascending; a cluster has the index of its lowest member
  for (size_t i = 0; i < n; ++i) alive[i] = i;
  while (alive.size() > 1) {
    std::pair<size_t, size_t> best{alive[0], alive[1]};
    for (size_t i = 0; i < alive.size(); ++i)
      for (size_t j = i + 1; j < alive.size(); ++j)
        if (between[alive[i] * n + alive[j]] > between[best.first * n + best.second]) best = {alive[i], alive[j]};
    const auto [a, b] = best;
    const auto size_a = static_cast<double>(clusters[a].size()), size_b = static_cast<double>(clusters[b].size());
    for (const size_t other : alive) {
      const double mean = (size_a * between[a * n + other] + size_b * between[b * n + other]) / (size_a + size_b);
      between[a * n + other] = between[other * n + a] = mean;
    }
    clusters[a] = join(clusters[a], clusters[b], similarity, n);
    alive.erase(std::find(alive.begin(), alive.end(), b));
  }
  return n == 0 ? Items{} : clusters[0];
}

}  // namespace evenkeel::analysis
