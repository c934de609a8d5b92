// In which order a weighted mixture draws from its sources: Tijdeman's chairman assignment, so that after n
// draws each source has been drawn within 1 of its share of n, for every n.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace evenkeel::data {

class Mixture {
 public:
  // Weights are scaled to shares that sum to 1. ConfigError (with `where`) when one is negative or not
  // finite, or all are 0.
  Mixture(const std::vector<double>& weights, const std::string& where);
  size_t next();  // the source of the next draw
  const std::vector<double>& shares() const { return shares_; }
  const std::vector<int64_t>& counts() const { return counts_; }  // the whole state
  void restore(const std::vector<int64_t>& counts);

 private:
  std::vector<double> shares_;
  std::vector<int64_t> counts_;
  int64_t n_draws_ = 0;
};

}  // namespace evenkeel::data
