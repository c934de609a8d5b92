#include "analysis/cluster_mean.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

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

ClusterMeans in_blocks(const ClusterMeans& clusters, size_t most) {
  const size_t per_block = (clusters.size() + most - 1) / most;
  ClusterMeans out;
  for (size_t begin = 0; begin < clusters.size(); begin += per_block) {
    const size_t end = std::min(begin + per_block, clusters.size());
    const auto place = [](size_t c) { return static_cast<std::ptrdiff_t>(c); };
    const ClusterMeans block{{clusters.means.begin() + place(begin), clusters.means.begin() + place(end)},
                             {clusters.tokens.begin() + place(begin), clusters.tokens.begin() + place(end)}};
    int64_t n = 0;
    for (const int64_t tokens : block.tokens) n += tokens;
    out.means.push_back(mean_of(block));
    out.tokens.push_back(n);
  }
  return out;
}

std::optional<ClusterMeans> difference(const ClusterMeans& a, const ClusterMeans& b) {
  if (a.tokens != b.tokens) return std::nullopt;
  ClusterMeans out = a;
  for (size_t c = 0; c < out.size(); ++c) out.means[c] -= b.means[c];
  return out;
}

}  // namespace evenkeel::analysis
