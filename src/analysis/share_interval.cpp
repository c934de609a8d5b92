#include "analysis/share_interval.h"

#include <algorithm>
#include <cmath>

namespace evenkeel::analysis {

Interval wilson_interval(double p, double n, double z) {
  const double z2 = z * z, center = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = z / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  // At p = 0 and 1 one end is p itself, which rounding would miss.
  return {p == 0 ? 0.0 : std::max(center - half, 0.0), p == 1 ? 1.0 : std::min(center + half, 1.0)};
}

void ShareSums::add(int64_t part_of_cluster, int64_t whole_of_cluster) {
  if (whole_of_cluster == 0) return;
  part += part_of_cluster;
  whole += whole_of_cluster;
  ++n_clusters;
  part_squared += part_of_cluster * part_of_cluster;
  part_times_whole += part_of_cluster * whole_of_cluster;
  whole_squared += whole_of_cluster * whole_of_cluster;
}

void add(ShareSums& total, const ShareSums& more) {
  total.part += more.part;
  total.whole += more.whole;
  total.n_clusters += more.n_clusters;
  total.part_squared += more.part_squared;
  total.part_times_whole += more.part_times_whole;
  total.whole_squared += more.whole_squared;
}

std::optional<Interval> share_interval(const ShareSums& sums) {
  if (sums.n_clusters < kLeastClusters) return std::nullopt;
  const auto n = static_cast<double>(sums.whole), clusters = static_cast<double>(sums.n_clusters);
  const double p = static_cast<double>(sums.part) / n, independent = p * (1 - p) / n;
  const double squares = static_cast<double>(sums.part_squared) - 2 * p * static_cast<double>(sums.part_times_whole) + p * p * static_cast<double>(sums.whole_squared);
  const double between = clusters / (clusters - 1) * squares / (n * n);
  const double effect = independent > 0 ? std::max(1.0, between / independent) : 1.0;
  return wilson_interval(p, n / effect, t_quantile(sums.n_clusters - 1));
}

void MeanSums::add(double value) {
  ++n;
  sum += value;
  square += value * value;
}

std::optional<Interval> mean_interval(const MeanSums& sums) {
  if (sums.n < kLeastClusters) return std::nullopt;
  const auto n = static_cast<double>(sums.n);
  const double variance = std::max(0.0, (sums.square - n * sums.mean() * sums.mean()) / (n - 1));
  const double half = t_quantile(sums.n - 1) * std::sqrt(variance / n);
  return Interval{std::max(0.0, sums.mean() - half), std::min(1.0, sums.mean() + half)};
}

// Expansion about the normal quantile (Abramowitz and Stegun, 26.7.5).
double t_quantile(int64_t degrees) {
  constexpr double z = 1.959963984540054, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
  const auto n = static_cast<double>(degrees);
  return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n) + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n);
}

}  // namespace evenkeel::analysis
