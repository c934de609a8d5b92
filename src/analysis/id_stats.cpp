#include "analysis/id_stats.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "analysis/own_load.h"
#include "core/rng.h"

namespace evenkeel::analysis {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kPi = 3.14159265358979323846;
// Below this mean count of the rarer outcome (chosen or not) of an expert, the normal limit is not used.
constexpr int64_t kNormalFrom = 64;
constexpr int64_t kExactUpTo = 64;
// Variances of an expert's count: from where an overlap is that of the normal limit (1e-4 of its distance from 1 off),
// and what the larger of two counts is cut to.
constexpr double kNormalVariance = 1e4, kLargestVariance = 1e8;
constexpr int64_t kDraws = 8'000'000;  // of a simulation; keeps the standard error below .3 % of the level

double total(std::span<const int64_t> counts) {
  return static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
}

// Means of the largest of n standard normals and of its square: Simpson's rule over n phi(x) Phi(x)^(n - 1).
std::pair<double, double> largest_of_normals(int64_t n) {
  constexpr int kSteps = 4000;
  constexpr double kEdge = 12.0, kStep = 2 * kEdge / kSteps;
  double mean = 0, square = 0;
  for (int i = 0; i <= kSteps; ++i) {
    const double x = -kEdge + kStep * i;
    const double weight = (i == 0 || i == kSteps ? 1.0 : i % 2 == 1 ? 4.0 : 2.0) * kStep / 3.0;
    const double density = std::exp(-0.5 * x * x) / std::sqrt(2 * kPi);
    const double below = 0.5 * std::erfc(-x / std::sqrt(2.0));
    const double mass = weight * static_cast<double>(n) * density * std::pow(below, static_cast<double>(n - 1));
    mean += mass * x;
    square += mass * x * x;
  }
  return {mean, square};
}

// The binomial distribution where it is not negligible: mass[i] of low + i.
struct Binomial {
  int64_t low = 0;
  std::vector<double> mass;
};
Binomial binomial(int64_t n, double p) {
  const double mean = static_cast<double>(n) * p;
  const auto reach = static_cast<int64_t>(12 * std::sqrt(mean * (1 - p))) + 60;  // beyond: below 1e-30
  const auto middle = static_cast<int64_t>(mean);
  Binomial out;
  out.low = std::max<int64_t>(0, middle - reach);
  const int64_t high = std::min(n, middle + reach);
  out.mass.assign(static_cast<size_t>(high - out.low) + 1, 1.0);
  const double odds = p / (1 - p);
  for (int64_t x = middle; x < high; ++x)  // outwards from the middle, so that nothing overflows
    out.mass[static_cast<size_t>(x + 1 - out.low)] =
        out.mass[static_cast<size_t>(x - out.low)] * odds * static_cast<double>(n - x) / static_cast<double>(x + 1);
  for (int64_t x = middle; x > out.low; --x)
    out.mass[static_cast<size_t>(x - 1 - out.low)] =
        out.mass[static_cast<size_t>(x - out.low)] / odds * static_cast<double>(x) / static_cast<double>(n - x + 1);
  const double sum = std::accumulate(out.mass.begin(), out.mass.end(), 0.0);
  for (double& mass : out.mass) mass /= sum;
  return out;
}

// Mean of the length of d independent standard normals, divided by sqrt(d).
double mean_length(int64_t d) {
  const auto degrees = static_cast<double>(d);
  return std::sqrt(2.0 / degrees) * std::exp(std::lgamma((degrees + 1) / 2) - std::lgamma(degrees / 2));
}

}  // namespace

double max_share(std::span<const int64_t> counts, int64_t occurrences) {
  return static_cast<double>(*std::max_element(counts.begin(), counts.end())) / static_cast<double>(occurrences);
}

int64_t favourite(std::span<const int64_t> counts) {
  const auto best = std::max_element(counts.begin(), counts.end());
  return best == counts.end() || *best == 0 ? -1 : best - counts.begin();
}

double share_std(std::span<const int64_t> counts) {
  const double sum = total(counts);
  if (sum == 0) return 0.0;
  const double uniform = 1.0 / static_cast<double>(counts.size());
  double square = 0;
  for (const int64_t count : counts) {
    const double difference = static_cast<double>(count) / sum - uniform;
    square += difference * difference;
  }
  return std::sqrt(square * uniform);
}

double uniform_share_std(int64_t n, int64_t n_experts, int64_t top_k) {
  const auto E = static_cast<double>(n_experts), k = static_cast<double>(top_k);
  return std::sqrt((1 - k / E) / (static_cast<double>(n) * k * E));
}

double share_overlap(std::span<const int64_t> a, std::span<const int64_t> b) {
  const double sum_a = total(a), sum_b = total(b);
  if (sum_a == 0 || sum_b == 0) return kNan;
  double common = 0;  // sum of the smaller share is 1 - L1 / 2, without its cancellation
  for (size_t e = 0; e < a.size(); ++e)
    common += std::min(static_cast<double>(a[e]) / sum_a, static_cast<double>(b[e]) / sum_b);
  return common;
}

double share_cosine(std::span<const int64_t> a, std::span<const int64_t> b) {
  double product = 0, square_a = 0, square_b = 0;
  for (size_t e = 0; e < a.size(); ++e) {
    const auto x = static_cast<double>(a[e]), y = static_cast<double>(b[e]);
    product += x * y;
    square_a += x * x;
    square_b += y * y;
  }
  return square_a == 0 || square_b == 0 ? kNan : product / std::sqrt(square_a * square_b);
}

double share_distance(std::span<const int64_t> a, std::span<const int64_t> b) {
  const double sum_a = total(a), sum_b = total(b);
  if (sum_a == 0 || sum_b == 0) return kNan;
  double apart = 0;
  for (size_t e = 0; e < a.size(); ++e)
    apart += std::abs(static_cast<double>(a[e]) / sum_a - static_cast<double>(b[e]) / sum_b);
  return apart / 2;
}

double mean_smaller_share(const RandomCount& left, const RandomCount& right) {
  if (left.p <= 0 || right.p <= 0) return 0.0;
  if (left.p >= 1 || right.p >= 1) return std::min(left.p, right.p);  // one of the shares is always 1
  const auto a = binomial(left.n, left.p), b = binomial(right.n, right.p);
  double mean = 0, passed = 0, passed_sum = 0;  // of Y / n_b up to X / n_a: its mass and its share of the mean
  size_t j = 0;
  for (size_t i = 0; i < a.mass.size(); ++i) {
    const double x = static_cast<double>(a.low + static_cast<int64_t>(i)) / static_cast<double>(left.n);
    for (; j < b.mass.size(); ++j) {
      const double y = static_cast<double>(b.low + static_cast<int64_t>(j)) / static_cast<double>(right.n);
      if (y > x) break;
      passed += b.mass[j];
      passed_sum += b.mass[j] * y;
    }
    mean += a.mass[i] * (passed_sum + x * (1 - passed));
  }
  return mean;
}

double mean_share_difference(int64_t n_a, int64_t n_b, double p) {
  const double per_token = p * (1 - p);  // variance of a count
  if (per_token <= 0) return 0.0;
  const double least = static_cast<double>(std::min(n_a, n_b));
  if (least * per_token > kNormalVariance)
    return std::sqrt(2 / kPi * per_token * (1 / static_cast<double>(n_a) + 1 / static_cast<double>(n_b)));
  // A share of so many tokens is as good as constant beside the other one.
  const auto most = static_cast<int64_t>(std::min(kLargestVariance / per_token, 1e18));
  return std::max(0.0, 2 * (p - mean_smaller_share({std::min(n_a, most), p}, {std::min(n_b, most), p})));
}

double uniform_share_overlap(int64_t n_a, int64_t n_b, int64_t n_experts, int64_t top_k) {
  const auto E = static_cast<double>(n_experts), k = static_cast<double>(top_k);
  return 1 - E / (2 * k) * mean_share_difference(n_a, n_b, k / E);
}

double uniform_entropy(int64_t n, int64_t n_experts, int64_t top_k) {
  if (n_experts == 1) return 1.0;
  const auto E = static_cast<double>(n_experts), p = static_cast<double>(top_k) / E, mean = static_cast<double>(n) * p;
  double excess = 0;  // E[X ln(X / mean)]
  if (mean * (1 - p) > kNormalVariance) {
    excess = (1 - p) / 2 + (1 - p) * ((1 - p) / 4 - (1 - 2 * p) / 6) / mean;
  } else if (top_k < n_experts) {
    const auto counts = binomial(n, p);
    for (size_t i = 0; i < counts.mass.size(); ++i) {
      const auto x = static_cast<double>(counts.low + static_cast<int64_t>(i));
      if (x > 0) excess += counts.mass[i] * x * std::log(x / mean);
    }
  }
  return 1 - excess / (mean * std::log(E));
}

double chance_of_repeat(int64_t n_experts, int64_t a, int64_t b) {
  double none = 1.0;  // C(E - a, b) / C(E, b)
  for (int64_t i = 0; i < b; ++i)
    none *= static_cast<double>(std::max<int64_t>(n_experts - a - i, 0)) / static_cast<double>(n_experts - i);
  return 1 - none;
}

std::vector<double> exact_mean_max_share(int64_t n_experts, int64_t most) {
  const auto size = static_cast<size_t>(most) + 1;
  const auto multiply = [size](const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> out(size, 0.0);
    for (size_t i = 0; i < size; ++i)
      for (size_t j = 0; i + j < size; ++j) out[i + j] += a[i] * b[j];
    return out;
  };
  std::vector<double> factorial(size, 1.0), mean(size, 0.0);
  for (size_t n = 1; n < size; ++n) factorial[n] = factorial[n - 1] * static_cast<double>(n);
  // P(no cell above m) = n! [x^n] (sum_{j <= m} (x/E)^j / j!)^E; the mean of the largest is the sum of P(above m).
  for (size_t m = 0; m < size; ++m) {
    std::vector<double> cell(size, 0.0), power(size, 0.0);
    for (size_t j = 0; j <= m; ++j)
      cell[j] = std::pow(static_cast<double>(n_experts), -static_cast<double>(j)) / factorial[j];
    power[0] = 1.0;
    for (int64_t bits = n_experts; bits > 0; bits >>= 1) {
      if ((bits & 1) != 0) power = multiply(power, cell);
      if (bits > 1) cell = multiply(cell, cell);
    }
    for (size_t n = m + 1; n < size; ++n) mean[n] += 1 - factorial[n] * power[n];
  }
  std::vector<double> shares;
  for (size_t n = 1; n < size; ++n) shares.push_back(mean[n] / static_cast<double>(n));
  return shares;
}

UniformRouting::UniformRouting(int64_t n_experts, int64_t top_k, int64_t most) : n_experts_(n_experts), top_k_(top_k) {
  if (top_k == n_experts) return;  // nothing is random
  std::tie(normal_max_, normal_max_square_) = largest_of_normals(n_experts);
  const int64_t rarer = std::min(top_k, n_experts - top_k);
  const int64_t limit = std::min(most, (kNormalFrom * n_experts + rarer - 1) / rarer);
  simulate(0, std::min(limit, kExactUpTo));
  simulate(std::min(limit, kExactUpTo), limit);
  if (top_k > 1) return;
  const auto exact = exact_mean_max_share(n_experts, std::min(limit, kExactUpTo));
  std::copy(exact.begin(), exact.end(), max_share_.begin());
}

// Levels for n in (from, to]: the same replicas for all n, each growing token by token.
void UniformRouting::simulate(int64_t from, int64_t to) {
  if (to <= from) return;
  const auto E = static_cast<size_t>(n_experts_);
  const int64_t n_replicas = std::clamp<int64_t>(kDraws / (to * top_k_), 200, 10'000);
  max_share_.resize(static_cast<size_t>(to), 0.0);
  share_std_.resize(static_cast<size_t>(to), 0.0);
  evenness_.resize(static_cast<size_t>(to), 0.0);
  RngStream rng(1, "uniform routing", static_cast<uint64_t>(from));
  std::vector<size_t> order(E);
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<int64_t> counts(E);
  for (int64_t replica = 0; replica < n_replicas; ++replica) {
    std::fill(counts.begin(), counts.end(), 0);
    int64_t most = 0, square = 0;
    for (int64_t n = 1; n <= to; ++n) {
      for (size_t slot = 0; slot < static_cast<size_t>(top_k_); ++slot) {
        std::swap(order[slot], order[slot + rng.below(E - slot)]);
        const int64_t count = ++counts[order[slot]];
        square += 2 * count - 1;
        most = std::max(most, count);
      }
      if (n <= from) continue;
      const auto assignments = static_cast<double>(n * top_k_);
      // E sum c^2 - (sum c)^2 in integers: no cancellation
      const auto spread = static_cast<double>(n_experts_ * square - n * top_k_ * n * top_k_);
      max_share_[static_cast<size_t>(n - 1)] += static_cast<double>(most) / static_cast<double>(n);
      share_std_[static_cast<size_t>(n - 1)] += std::sqrt(spread) / (static_cast<double>(n_experts_) * assignments);
      evenness_[static_cast<size_t>(n - 1)] += assignments / std::sqrt(static_cast<double>(n_experts_ * square));
    }
  }
  for (auto n = static_cast<size_t>(from); n < static_cast<size_t>(to); ++n) {
    max_share_[n] /= static_cast<double>(n_replicas);
    share_std_[n] /= static_cast<double>(n_replicas);
    evenness_[n] /= static_cast<double>(n_replicas);
  }
}

double UniformRouting::mean_max_share(int64_t n) const {
  if (top_k_ == n_experts_) return 1.0;
  if (static_cast<size_t>(n) <= max_share_.size()) return max_share_[static_cast<size_t>(n - 1)];
  const auto E = static_cast<double>(n_experts_), occurrences = static_cast<double>(n);
  const double p = static_cast<double>(top_k_) / E;
  const double deviation = std::sqrt(p * (1 - p) * occurrences);
  const double skewness = (1 - 2 * p) / deviation;
  const double largest = std::sqrt(E / (E - 1)) * normal_max_ + skewness / 6 * (normal_max_square_ - 1);
  return std::min(1.0, p + largest * deviation / occurrences);
}

double UniformRouting::mean_share_std(int64_t n) const {
  if (top_k_ == n_experts_) return 0.0;
  if (static_cast<size_t>(n) <= share_std_.size()) return share_std_[static_cast<size_t>(n - 1)];
  return uniform_share_std(n, n_experts_, top_k_) * mean_length(n_experts_ - 1);
}

double UniformRouting::evenness(int64_t n) const {
  if (top_k_ == n_experts_) return 1.0;
  if (static_cast<size_t>(n) <= evenness_.size()) return evenness_[static_cast<size_t>(n - 1)];
  // The cosine is 1 / sqrt(1 + E^2 std^2); std^2 has this mean and is close to chi-squared of E - 1 degrees of freedom.
  const auto E = static_cast<double>(n_experts_), k = static_cast<double>(top_k_);
  const double z = (E - k) / (static_cast<double>(n) * k);
  return 1 / std::sqrt(1 + z) + 0.75 * z * z / (E - 1) / std::pow(1 + z, 2.5);
}

double UniformRouting::mean_cosine(int64_t n_a, int64_t n_b) const { return evenness(n_a) * evenness(n_b); }

void IdSummary::add(std::span<const int64_t> counts, int64_t occurrences) {
  ++ids_;
  occurrences_ += occurrences;
  max_share_.add(max_share(counts, occurrences));
  favourites_ += static_cast<double>(*std::max_element(counts.begin(), counts.end()));
  std_ += share_std(counts);
  chance_max_share_ += uniform_ != nullptr ? uniform_->mean_max_share(occurrences) : kNan;
  load_std_ += load_.empty() ? kNan : load_share_std(occurrences, top_k_, load_);
  baseline_std_ +=
      uniform_ != nullptr ? uniform_share_std(occurrences, uniform_->n_experts(), uniform_->top_k()) : kNan;
  chance_std_ += uniform_ != nullptr ? uniform_->mean_share_std(occurrences) : kNan;
}

}  // namespace evenkeel::analysis
