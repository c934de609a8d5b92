// A figure of a study's groups over their seeds, and how sure a difference between two groups is.
#pragma once

#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "train/loss_error.h"

namespace evenkeel::study {

struct Estimate {
  double value = 0;             // the mean over seeds
  std::optional<double> error;  // from two seeds on their sample standard deviation, but no less than the standard
                                // error by the text; of one seed the latter
  std::string text(bool sign = false) const;
};

struct Difference {
  double value = 0;
  std::optional<double> half;  // of the width of its 95 % interval; nullopt where nothing says how far it varies
  size_t n_equal = 0;  // pairs of seeds, where all of them have the same difference: so few that agree give no width
  double limit = INFINITY;  // no difference of the figure is farther from 0: 1 of shares
  double low() const;       // of the interval, as far as the figure can be; `half` must be there
  double high() const;
  bool is_beyond_noise() const;
  std::string text() const;  // "no difference beyond noise: …" where its interval holds 0; "-0.25 in each of 2 pairs"
};

// Values of one figure, by group and seed.
class Estimates {
 public:
  void add(const std::string& group, int64_t seed, train::LossFigure figure);
  // A figure without an error of its own.
  void add(const std::string& group, int64_t seed, double value) {
    add(group, seed, {value, std::nullopt, std::nullopt});
  }
  bool has(const std::string& group) const { return groups_.contains(group); }
  Estimate of(const std::string& group) const;  // the group must be there
  // `a` minus `b`, both there, with an interval of Student's t over seeds:
  //   of the same two seeds or more   paired: standard deviation of the seeds' differences over sqrt(n), n - 1 degrees
  //   of others, one group with two   pooled variance of both groups, n_a + n_b - 2 degrees
  //   of one seed each                the paired error of the text (train::difference), blocks - 1 degrees: another
  //   seed may differ by more
  // Seeds that agree by chance do not make it narrower than the paired error of the text does. Where that is not known,
  // seeds that all agree give no interval: one of no width would claim certainty. `n_comparisons`: of how many
  // differences this one was picked as the largest; all their intervals then hold at once (Bonferroni).
  Difference difference(const std::string& a, const std::string& b, int64_t n_comparisons = 1) const;

 private:
  std::map<std::string, std::map<int64_t, train::LossFigure>> groups_;
};

}  // namespace evenkeel::study
