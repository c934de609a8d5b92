#include "analysis/cluster_mean.h"

#include <algorithm>
#include <cmath>

#include "analysis/share_interval.h"

namespace evenkeel::analysis {

double mean_of(const ClusterMeans& clusters) {
  double sum = 0;
  int64_t n = 0;
  for (size_t c = 0; c < clusters.size(); ++c) {
    sum += static_cast<double>(clusters.tokens[c]) * clusters.means[c];
    n += clusters.tokens[c];
  }
  return sum / static_cast<double>(n);
}

std::optional<double> standard_error(const ClusterMeans& clusters) {
  if (clusters.size() < 2) return std::nullopt;
  const double mean = mean_of(clusters), C = static_cast<double>(clusters.size());
  double squares = 0, n = 0;
  for (size_t c = 0; c < clusters.size(); ++c) {
    const auto tokens = static_cast<double>(clusters.tokens[c]);
    const double residual = tokens * (clusters.means[c] - mean);
    squares += residual * residual;
    n += tokens;
  }
  return std::sqrt(C / (C - 1) * squares) / n;
}

int64_t block_size(int64_t n_clusters) {
  const auto root = static_cast<int64_t>(std::sqrt(static_cast<double>(n_clusters)));
  const int64_t least = (n_clusters + kMostBlocks - 1) / kMostBlocks;
  return std::max({std::min(root, n_clusters / kLeastClusters), least, int64_t{1}});
}

std::optional<ClusterMeans> difference(const ClusterMeans& a, const ClusterMeans& b) {
  if (a.tokens != b.tokens) return std::nullopt;
  ClusterMeans out = a;
  for (size_t c = 0; c < out.size(); ++c) out.means[c] -= b.means[c];
  return out;
}

}  // namespace evenkeel::analysis
