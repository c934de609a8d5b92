#include "optim/rate_factors.h"

namespace evenkeel::optim {

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

}  // namespace evenkeel::optim
