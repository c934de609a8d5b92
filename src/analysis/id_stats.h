// What the routing of one id (a token id, a position) says: how far it prefers some experts, and what uniform
// random routing would give for as few occurrences. Pure functions of counts; the analyses of batches and of
// published count files both call them. All figures are fp64.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "analysis/share_interval.h"

namespace evenkeel::analysis {

// Vocabulary specialization of an id (arXiv 2409.02060, eq. 8, for its best expert): max_e N_x(e) / N_x, the share
// of the id's occurrences that reach its favourite expert. counts [E] assignments; occurrences >= 1.
double max_share(std::span<const int64_t> counts, int64_t occurrences);
// Index of the largest count, the lower of equals; -1 without a count.
int64_t favourite(std::span<const int64_t> counts);
// Standard deviation of an id's shares over experts from uniform (arXiv 2402.01739, section 4):
// sqrt(mean_e (r_e - 1/E)^2) with r_e = counts_e / sum of counts. 0 without a count.
double share_std(std::span<const int64_t> counts);
// Root mean square of share_std for an id that occurs n >= 1 times when each token takes k of E experts at random
// without replacement: sqrt((1 - k/E) / (n k E)), exact for every n.
double uniform_share_std(int64_t n, int64_t n_experts, int64_t top_k);

// How alike two distributions over experts are, each normalised to sum 1; NaN when one of them has no count.
double share_overlap(std::span<const int64_t> a, std::span<const int64_t> b);  // 1 - L1 / 2
double share_cosine(std::span<const int64_t> a, std::span<const int64_t> b);
double share_distance(std::span<const int64_t> a,
                      std::span<const int64_t> b);  // L1 / 2; 0 for equal ones, to the last bit
// How many of n >= 1 tokens have an expert that each of them has with probability p.
struct RandomCount {
  int64_t n = 0;
  double p = 0;
};
// Mean of the smaller of the two shares X / n of independent counts. Exact.
double mean_smaller_share(const RandomCount& left, const RandomCount& right);
// Mean of |X / n_a - Y / n_b| for independent X ~ Binomial(n_a, p), Y ~ Binomial(n_b, p): how far two shares of n_a,
// n_b >= 1 random tokens differ by chance. Exact until both counts have a variance above 10,000, from where it is that
// of the normal limit, sqrt(2 / pi) sqrt(p (1 - p) (1 / n_a + 1 / n_b)).
double mean_share_difference(int64_t n_a, int64_t n_b, double p);
// Mean of share_overlap over two ids that occur n_a and n_b >= 1 times when both are routed uniformly at random: an
// expert's count is Binomial(n, k / E), so it is 1 - E / (2 k) mean_share_difference, as exact as that.
double uniform_share_overlap(int64_t n_a, int64_t n_b, int64_t n_experts, int64_t top_k);

// Mean entropy of the load, divided by ln E, when n >= 1 tokens are routed so: an expert's count X is Binomial(n, k /
// E), hence 1 - E / (n k ln E) E[X ln(X / mean X)]. Exact until X has a variance above 10,000, then expanded in 1 /
// mean X. 1 for E = 1.
double uniform_entropy(int64_t n, int64_t n_experts, int64_t top_k);

// Chance that two tokens with a and b random experts of E share one: 1 - C(E - a, b) / C(E, b) (arXiv 2401.04088,
// table 5, for a = b = k).
double chance_of_repeat(int64_t n_experts, int64_t a, int64_t b);

// Means under uniform random top-k routing for an id that occurs n >= 1 times. While n * min(k, E - k) / E is below 64
// they come from a simulation with a fixed seed (max_share for k = 1 and n <= 64: exact), beyond that from the normal
// limit with its first correction. Within 1 % of the level (tested).
class UniformRouting {
 public:
  // most: the largest n that will be asked for. 1 <= k <= E.
  UniformRouting(int64_t n_experts, int64_t top_k, int64_t most);
  int64_t n_experts() const { return n_experts_; }
  int64_t top_k() const { return top_k_; }
  double mean_max_share(int64_t n) const;  // of max_share: 1 at n = 1, towards k / E
  double mean_share_std(int64_t n) const;  // of share_std: uniform_share_std at n = 1, later below it
  // Of share_cosine over two ids that are routed independently, with n_a and n_b occurrences: k / E at n = 1,
  // towards 1.
  double mean_cosine(int64_t n_a, int64_t n_b) const;

 private:
  void simulate(int64_t from, int64_t to);
  // Mean cosine of an id's counts with equal ones. By symmetry the mean direction of the counts is that of equal ones,
  // so that the mean cosine of two independent ids is the product of theirs.
  double evenness(int64_t n) const;
  int64_t n_experts_, top_k_;
  double normal_max_ = 0, normal_max_square_ = 0;  // means of the largest of E standard normals and of its square
  std::vector<double> max_share_, share_std_, evenness_;  // [n - 1] as far as simulated
};
// Exact mean of max_share for k = 1 and n = 1 .. most: the largest cell of a multinomial. O(most^3 log E).
std::vector<double> exact_mean_max_share(int64_t n_experts, int64_t most);

// Means over ids. Add every id with its counts, always in the same order for the same bits.
class IdSummary {
 public:
  // uniform: levels for the layer's E and k, which outlives this; null where none are known (routers that do not give
  // every token k experts): baseline and chance are NaN then.
  explicit IdSummary(const UniformRouting* uniform) : uniform_(uniform) {}
  // load: counts [E] of the layer over all ids, for load_std, which is NaN without them.
  void compare_with(std::span<const int64_t> load, int64_t top_k) {
    load_.assign(load.begin(), load.end());
    top_k_ = top_k;
  }
  void add(std::span<const int64_t> counts, int64_t occurrences);

  int64_t ids() const { return ids_; }
  int64_t occurrences() const { return occurrences_; }
  // Each is NaN without ids.
  double mean_max_share() const { return max_share_.mean(); }
  std::optional<Interval> max_share_interval() const { return mean_interval(max_share_); }  // of its mean
  double chance_max_share() const { return chance_max_share_ / n(); }
  double max_share_by_occurrence() const { return favourites_ / static_cast<double>(occurrences_); }
  double mean_std() const { return std_ / n(); }
  double baseline_std() const { return baseline_std_ / n(); }  // of uniform_share_std
  double chance_std() const { return chance_std_ / n(); }      // of UniformRouting::mean_share_std
  double load_std() const { return load_std_ / n(); }          // of load_share_std

 private:
  double n() const { return static_cast<double>(ids_); }
  const UniformRouting* uniform_;
  int64_t ids_ = 0, occurrences_ = 0;
  MeanSums max_share_;
  double favourites_ = 0, chance_max_share_ = 0, std_ = 0, baseline_std_ = 0, chance_std_ = 0, load_std_ = 0;
  std::vector<int64_t> load_;
  int64_t top_k_ = 0;
};

}  // namespace evenkeel::analysis
