#include "optim/rate_factors.h"

#include <algorithm>
#include <set>

namespace evenkeel::optim {

std::vector<RowRate> RateFactors::ranges(size_t parameter, int64_t n_rows) const {
  const auto found = rows.find(parameter);
  return found != rows.end() ? found->second : std::vector<RowRate>{{0, n_rows, of(parameter)}};
}

bool matches_pattern(const std::string& name, const std::string& pattern) {
  // Greedy with one point to come back to: linear for every pattern.
  size_t n = 0, p = 0, star = std::string::npos, after_star = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string::npos) {
      p = star + 1;
      n = ++after_star;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

namespace {

// The number at the head of `text`, which it is taken off from; none where there is no digit.
std::optional<int64_t> take_number(std::string_view& text) {
  const size_t n = std::min(text.find_first_not_of("0123456789"), text.size());
  constexpr size_t kMostDigits = 12;
  if (n == 0 || n > kMostDigits) return std::nullopt;
  const int64_t value = std::stoll(std::string(text.substr(0, n)));
  text.remove_prefix(n);
  return value;
}

}  // namespace

std::optional<RowPattern> read_row_pattern(const std::string& text) {
  const size_t open = text.find('[');
  RowPattern out{text.substr(0, open)};
  if (open == std::string::npos) return out;
  if (!text.ends_with(']')) return std::nullopt;
  std::string_view inner = std::string_view(text).substr(open + 1, text.size() - open - 2);
  out.has_rows = true;
  out.begin = take_number(inner).value_or(0);
  if (!inner.starts_with(':')) return std::nullopt;
  inner.remove_prefix(1);
  out.end = take_number(inner);
  return inner.empty() && (!out.end || *out.end > out.begin) ? std::optional(out) : std::nullopt;
}

std::vector<RowRate> merged_rates(int64_t n_rows, const std::vector<RowRate>& given) {
  std::set<int64_t> borders = {0, n_rows};
  for (const auto& range : given) borders.insert({range.begin, range.end});
  std::vector<RowRate> out;
  for (auto border = borders.begin(); std::next(border) != borders.end(); ++border) {
    const int64_t begin = *border, end = *std::next(border);
    std::optional<double> factor;
    for (const auto& range : given)
      if (range.begin <= begin && end <= range.end) factor = std::min(factor.value_or(range.factor), range.factor);
    if (!out.empty() && out.back().factor == factor.value_or(1)) {
      out.back().end = end;
    } else {
      out.push_back({begin, end, factor.value_or(1)});
    }
  }
  return out;
}

void zero_frozen_rows(const RateFactors& factors, const std::vector<at::Tensor>& gradients) {
  for (const auto& [parameter, ranges] : factors.rows)
    for (const auto& range : ranges)
      if (range.factor == 0 && gradients.at(parameter).defined())
        gradients[parameter].narrow(0, range.begin, range.end - range.begin).zero_();
}

}  // namespace evenkeel::optim
