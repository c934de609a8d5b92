#include "data/mixture.h"

#include <cmath>
#include <numeric>

#include "core/errors.h"

namespace evenkeel::data {

Mixture::Mixture(const std::vector<double>& weights, const std::string& where)
    : shares_(weights), counts_(weights.size(), 0) {
  double sum = 0;
  for (const double weight : weights) {
    require<ConfigError>(std::isfinite(weight) && weight >= 0, where, ": got weight ", weight, "; need 0 or more");
    sum += weight;
  }
  require<ConfigError>(sum > 0, where, ": got weights that sum to ", sum, "; need more than 0");
  for (double& share : shares_) share /= sum;
}

// R. Tijdeman, The chairman assignment problem, Discrete Mathematics 32 (1980): among the sources whose
// debt allows it, the one whose deadline is nearest; equal deadlines to the lower index.
size_t Mixture::next() {
  constexpr double kSlack = 1e-9;  // equal keys stay equal whatever their rounding
  const double m = static_cast<double>(shares_.size());
  const double allowance = m > 1 ? 1.0 / (2.0 * m - 2.0) : 0.0;
  const auto n = static_cast<double>(n_draws_ + 1);
  size_t best = shares_.size();
  double best_deadline = 0;
  for (size_t i = 0; i < shares_.size(); ++i) {
    const double share = shares_[i], count = static_cast<double>(counts_[i]);
    if (share <= 0 || share * n - count < allowance - kSlack) continue;
    const double deadline = (1 - allowance - (share * (n - 1) - count)) / share;
    if (best == shares_.size() || deadline < best_deadline - kSlack) {
      best = i;
      best_deadline = deadline;
    }
  }
  ++n_draws_;
  ++counts_[best];
  return best;
}

void Mixture::restore(const std::vector<int64_t>& counts) {
  require<CheckpointError>(counts.size() == counts_.size(), "loader state: got ", counts.size(), " sources; need ",
                           counts_.size());
  counts_ = counts;
  n_draws_ = std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

}  // namespace evenkeel::data
