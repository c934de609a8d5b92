#include "analysis/max_share_interval.h"

#include <algorithm>
#include <cmath>

namespace evenkeel::analysis {
namespace {

constexpr double kMiss = 0.05;

// Variance of each expert's share between windows over that of independent tokens.
std::vector<double> design_effects(const std::vector<int64_t>& tokens_per_expert, int64_t n_tokens,
                                   const WindowSums& windows) {
  const auto T = static_cast<double>(n_tokens), W = static_cast<double>(windows.n_windows);
  std::vector<double> between, independent;
  double all_between = 0, all_independent = 0;
  for (size_t e = 0; e < tokens_per_expert.size(); ++e) {
    const double p = static_cast<double>(tokens_per_expert[e]) / T;
    const double squares = static_cast<double>(windows.count_squared[e]) -
                           2 * p * static_cast<double>(windows.count_times_tokens[e]) +
                           p * p * static_cast<double>(windows.tokens_squared);
    between.push_back(W / (W - 1) * squares / (T * T));
    independent.push_back(p * (1 - p) / T);
    all_between += between.back();
    all_independent += independent.back();
  }
  const double mean = all_independent > 0 ? std::max(1.0, all_between / all_independent) : 1.0;
  std::vector<double> out;
  for (size_t e = 0; e < between.size(); ++e)
    out.push_back(independent[e] > 0 ? std::max(mean, between[e] / independent[e]) : mean);
  return out;
}

void close(WindowSums& sums) {
  sums.n_windows += sums.open_tokens > 0 ? 1 : 0;
  sums.tokens_squared += sums.open_tokens * sums.open_tokens;
  for (size_t e = 0; e < sums.open_counts.size(); ++e) {
    sums.count_squared[e] += sums.open_counts[e] * sums.open_counts[e];
    sums.count_times_tokens[e] += sums.open_counts[e] * sums.open_tokens;
  }
  sums.open_number = -1;
  sums.open_tokens = 0;
  sums.open_counts.assign(sums.open_counts.size(), 0);
}

}  // namespace

void WindowSums::add(std::span<const int64_t> counts, int64_t n_tokens, int64_t number) {
  if (number < 0 || number != open_number) close(*this);
  open_number = number;
  open_tokens += n_tokens;
  open_counts.resize(counts.size(), 0);
  for (size_t e = 0; e < counts.size(); ++e) open_counts[e] += counts[e];
  if (number < 0) close(*this);
}

WindowSums WindowSums::closed() const {
  WindowSums out = *this;
  close(out);
  return out;
}

std::optional<MaxShareInterval> max_share_interval(const std::vector<int64_t>& tokens_per_expert, int64_t n_tokens,
                                                   const WindowSums* windows) {
  if (n_tokens == 0 || windows == nullptr || windows->n_windows < 2) return std::nullopt;
  const auto E = static_cast<double>(tokens_per_expert.size()), T = static_cast<double>(n_tokens);
  const double t = t_quantile(windows->n_windows - 1, kMiss / E);
  const auto effects = design_effects(tokens_per_expert, n_tokens, *windows);
  MaxShareInterval out{0, 0, T / *std::min_element(effects.begin(), effects.end())};
  for (size_t e = 0; e < tokens_per_expert.size(); ++e) {
    const auto of_expert = wilson_interval(static_cast<double>(tokens_per_expert[e]) / T, T / effects[e], t);
    out.low = std::max(out.low, of_expert.low);
    out.high = std::max(out.high, of_expert.high);
  }
  return out;
}

std::vector<Interval> share_intervals(const std::vector<int64_t>& tokens_per_expert, int64_t n_tokens,
                                      const WindowSums* windows) {
  if (n_tokens == 0 || windows == nullptr || windows->n_windows < 2) return {};
  const auto T = static_cast<double>(n_tokens);
  const double t = t_quantile(windows->n_windows - 1, kMiss);
  const auto effects = design_effects(tokens_per_expert, n_tokens, *windows);
  std::vector<Interval> out;
  for (size_t e = 0; e < tokens_per_expert.size(); ++e)
    out.push_back(wilson_interval(static_cast<double>(tokens_per_expert[e]) / T, T / effects[e], t));
  return out;
}

}  // namespace evenkeel::analysis
