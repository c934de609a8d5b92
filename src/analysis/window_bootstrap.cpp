#include "analysis/window_bootstrap.h"

#include <algorithm>
#include <cmath>

#include "core/rng.h"

namespace evenkeel::analysis {

WindowBootstrap::Weights WindowBootstrap::weights(uint64_t seed, uint64_t data, uint64_t window) {
  RngStream rng(combine_bits(seed, data), "window bootstrap", window);
  Weights out(kReplicates);
  for (auto& weight : out) {
    const double u = rng.uniform();
    double term = std::exp(-1.0), sum = term;  // of Poisson(1): P(0), P(0) + P(1), …
    for (int k = 1; u >= sum && k <= 20; ++k) {
      term /= k;
      sum += term;
      weight = static_cast<uint8_t>(k);
    }
  }
  return out;
}

void WindowBootstrap::add(const Weights& weights, std::span<const int64_t> counts) {
  for (size_t r = 0; r < kReplicates; ++r) {
    const int64_t weight = weights[r];
    if (weight == 0) continue;
    int64_t* sums = sums_.data() + r * n_;
    for (size_t i = 0; i < n_; ++i) sums[i] += weight * counts[i];
  }
}

std::optional<Interval> bootstrap_interval(double figure, std::span<const double> replicates, int64_t n_windows,
                                           Interval bounds) {
  if (n_windows < kLeastClusters || replicates.size() < 2) return std::nullopt;
  const auto n = static_cast<double>(replicates.size()), W = static_cast<double>(n_windows);
  double mean = 0, squares = 0;
  for (const double value : replicates) mean += value / n;
  if (std::isnan(mean)) return std::nullopt;
  for (const double value : replicates) squares += (value - mean) * (value - mean);
  const double centre = 2 * figure - mean,
               half = t_quantile(n_windows - 1) * std::sqrt(W / (W - 1) * squares / (n - 1));
  return Interval{std::max(bounds.low, std::min(figure, centre - half)),
                  std::min(bounds.high, std::max(figure, centre + half))};
}

}  // namespace evenkeel::analysis
