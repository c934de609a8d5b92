#include "analysis/share_interval.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace evenkeel::analysis {
namespace {

// P(|T| < t) of Student's t, from the angle whose tangent is t / sqrt(degrees) (Abramowitz and Stegun, 26.7.3
// and 26.7.4).
double t_inside(double angle, int64_t degrees) {
  const double cosine = std::cos(angle), square = cosine * cosine;
  const bool is_odd = degrees % 2 == 1;
  double sum = 0, term = is_odd ? cosine : 1;
  for (int64_t i = is_odd ? 3 : 2; i <= degrees; i += 2) {
    sum += term;
    term *= square * static_cast<double>(i - 1) / static_cast<double>(i);
  }
  return is_odd ? 2 / std::numbers::pi * (angle + std::sin(angle) * sum) : std::sin(angle) * sum;
}

}  // namespace

Interval wilson_interval(double p, double n, double z) {
  const double z2 = z * z, center = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = z / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  // At p = 0 and 1 one end is p itself, which rounding would miss.
  return {p == 0 ? 0.0 : std::max(center - half, 0.0), p == 1 ? 1.0 : std::min(center + half, 1.0)};
}

void ShareSums::add(int64_t part_of_cluster, int64_t whole_of_cluster, int64_t number) {
  if (number < 0 || number != open_number_) close();
  open_number_ = number;
  open_part_ += part_of_cluster;
  open_whole_ += whole_of_cluster;
  part += part_of_cluster;
  whole += whole_of_cluster;
  if (number < 0) close();
}

void ShareSums::close() {
  n_clusters += open_whole_ > 0 ? 1 : 0;
  part_squared += open_part_ * open_part_;
  part_times_whole += open_part_ * open_whole_;
  whole_squared += open_whole_ * open_whole_;
  open_number_ = -1;
  open_part_ = open_whole_ = 0;
}

ShareSums ShareSums::closed() const {
  ShareSums out = *this;
  out.close();
  return out;
}

void add(ShareSums& total, const ShareSums& more) {
  total = total.closed();
  const ShareSums closed = more.closed();
  total.part += closed.part;
  total.whole += closed.whole;
  total.n_clusters += closed.n_clusters;
  total.part_squared += closed.part_squared;
  total.part_times_whole += closed.part_times_whole;
  total.whole_squared += closed.whole_squared;
}

std::optional<Interval> share_interval(const ShareSums& open) {
  const ShareSums sums = open.closed();
  if (sums.n_clusters < kLeastClusters) return std::nullopt;
  const auto n = static_cast<double>(sums.whole), clusters = static_cast<double>(sums.n_clusters);
  const double p = static_cast<double>(sums.part) / n, independent = p * (1 - p) / n;
  const double squares = static_cast<double>(sums.part_squared) - 2 * p * static_cast<double>(sums.part_times_whole) +
                         p * p * static_cast<double>(sums.whole_squared);
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

double normal_quantile(double probability) {
  const auto cdf = [](double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); };
  double low = -40, high = 40;
  for (int i = 0; i < 200 && low < high; ++i) {
    const double middle = (low + high) / 2;
    (cdf(middle) < probability ? low : high) = middle;
  }
  return (low + high) / 2;
}

double t_quantile(int64_t degrees, double miss) {
  constexpr int64_t kMany = 200;  // from here on the expansion about the normal quantile is exact to 1e-8
  if (degrees > kMany) {
    const double z = normal_quantile(1 - miss / 2), z3 = z * z * z, z5 = z3 * z * z, n = static_cast<double>(degrees);
    return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n);  // Abramowitz and Stegun, 26.7.5
  }
  double low = 0, high = std::numbers::pi / 2;  // of the angle whose tangent is t / sqrt(degrees)
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (1 - t_inside(middle, degrees) > miss ? low : high) = middle;
  }
  return std::sqrt(static_cast<double>(degrees)) * std::tan(low);
}

}  // namespace evenkeel::analysis
