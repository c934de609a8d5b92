#include "study/estimates.h"

#include <algorithm>
#include <cmath>

#include "analysis/share_interval.h"
#include "core/with_error.h"

namespace evenkeel::study {
namespace {

constexpr double kMiss = 0.05;

struct Sums {
  int64_t n = 0;
  double mean = 0, squares = 0;  // about the mean
};
Sums sums_of(const std::vector<double>& values) {
  Sums out{static_cast<int64_t>(values.size()), 0, 0};
  for (const double value : values) out.mean += value / static_cast<double>(values.size());
  for (const double value : values) out.squares += (value - out.mean) * (value - out.mean);
  return out;
}

std::vector<double> values_of(const std::map<int64_t, train::LossFigure>& seeds) {
  std::vector<double> out;
  for (const auto& [seed, figure] : seeds) out.push_back(figure.value);
  return out;
}

using Seeds = std::map<int64_t, train::LossFigure>;

std::optional<double> mean_of_known(const std::vector<std::optional<double>>& values) {
  std::vector<double> known;
  for (const auto& value : values)
    if (value) known.push_back(*value);
  return known.empty() ? std::nullopt : std::optional(sums_of(known).mean);
}

// The standard error by the text, which all seeds share, and half of its interval: the means over those that have one.
std::optional<double> text_error(const Seeds& seeds) {
  std::vector<std::optional<double>> errors;
  for (const auto& [seed, figure] : seeds) errors.push_back(figure.se);
  return mean_of_known(errors);
}
std::optional<double> text_half_width(const Seeds& seeds, double miss) {
  std::vector<std::optional<double>> halves;
  for (const auto& [seed, figure] : seeds) halves.push_back(train::half_width(figure, miss));
  return mean_of_known(halves);
}

double largest_of(const Seeds& a, const Seeds& b) {
  double out = 0;
  for (const auto* seeds : {&a, &b})
    for (const auto& [seed, figure] : *seeds) out = std::max(out, std::abs(figure.value));
  return out;
}

// A width of this size or less is one of rounding, of values that are all the same.
double rounding_of(double value) { return 1e-12 * std::max(1.0, std::abs(value)); }

bool have_same_seeds(const std::map<int64_t, train::LossFigure>& a, const std::map<int64_t, train::LossFigure>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x.first == y.first; });
}

}  // namespace

std::string Estimate::text(bool sign) const { return with_error(value, error, sign); }

bool Difference::is_beyond_noise() const { return half && std::abs(value) > *half; }

double Difference::low() const { return std::max(value - *half, -limit); }
double Difference::high() const { return std::min(value + *half, limit); }

std::string Difference::text() const {
  if (n_equal == 0) return difference_text(value, half, limit);
  const auto pairs = std::to_string(n_equal) + " pairs";
  return value == 0 ? "no difference in any of " + pairs
                    : with_error(value, std::nullopt, /*sign=*/true) + " in each of " + pairs;
}

void Estimates::add(const std::string& group, int64_t seed, train::LossFigure figure) {
  groups_[group][seed] = std::move(figure);
}

Estimate Estimates::of(const std::string& group) const {
  const auto& seeds = groups_.at(group);
  const auto sums = sums_of(values_of(seeds));
  const auto of_text = text_error(seeds);
  if (sums.n < 2) return {sums.mean, of_text};
  return {sums.mean, std::max(std::sqrt(sums.squares / static_cast<double>(sums.n - 1)), of_text.value_or(0))};
}

Difference Estimates::difference(const std::string& a, const std::string& b, int64_t n_comparisons) const {
  const auto &left = groups_.at(a), &right = groups_.at(b);
  const double miss = kMiss / static_cast<double>(n_comparisons);
  const auto x = sums_of(values_of(left)), y = sums_of(values_of(right));
  if (x.n == 1 && y.n == 1) {
    const auto of_text = train::difference(left.begin()->second, right.begin()->second);
    return {of_text.value, train::half_width(of_text, miss)};
  }
  if (have_same_seeds(left, right)) {
    std::vector<double> differences;
    std::map<int64_t, train::LossFigure> of_text;
    for (const auto& [seed, figure] : left) {
      of_text[seed] = train::difference(figure, right.at(seed));
      differences.push_back(of_text[seed].value);
    }
    const auto paired = sums_of(differences);
    const auto n = static_cast<double>(paired.n);
    const double of_seeds = analysis::t_quantile(paired.n - 1, miss) * std::sqrt(paired.squares / (n - 1) / n);
    const double half = std::max(of_seeds, text_half_width(of_text, miss).value_or(0));
    if (half <= rounding_of(largest_of(left, right))) return {paired.mean, std::nullopt, differences.size()};
    return {paired.mean, half};
  }
  const int64_t degrees = x.n + y.n - 2;
  const double variance = (x.squares + y.squares) / static_cast<double>(degrees);
  const double se = std::sqrt(variance * (1 / static_cast<double>(x.n) + 1 / static_cast<double>(y.n)));
  if (se <= rounding_of(largest_of(left, right))) return {x.mean - y.mean, std::nullopt};
  return {x.mean - y.mean, analysis::t_quantile(degrees, miss) * se};
}

}  // namespace evenkeel::study
