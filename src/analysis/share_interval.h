// How sure a share or a mean is when what it is counted over comes in clusters: tokens in windows, occurrences in ids.
#pragma once

#include <cstdint>
#include <optional>

namespace evenkeel::analysis {

struct Interval {
  double low = 0, high = 1;
};
// Wilson's score interval of a share p of n independent trials; n > 0 need not be whole. z: normal_quantile or
// t_quantile.
Interval wilson_interval(double p, double n, double z);

// A share, part / whole, summed over clusters.
struct ShareSums {
  int64_t part = 0, whole = 0;
  int64_t n_clusters = 0, part_squared = 0, part_times_whole = 0, whole_squared = 0;
  // A cluster, or with a number >= 0 a part of that one, whose parts come one after the other. Clusters of nothing are
  // left out.
  void add(int64_t part_of_cluster, int64_t whole_of_cluster, int64_t number = -1);
  ShareSums closed() const;  // with the cluster that is open among the others

 private:
  void close();
  int64_t open_number_ = -1, open_part_ = 0, open_whole_ = 0;
};
void add(ShareSums& total, const ShareSums& more);

// 95 % interval of the share in what the clusters are a sample of: Wilson's, with Student's quantile of clusters - 1,
// and with whole / design effect in place of whole. The design effect is the variance of the share between clusters
// (ratio estimator) over that of independent trials, at least 1. nullopt below kLeastClusters, where the spread between
// them says next to nothing.
constexpr int64_t kLeastClusters = 4;
std::optional<Interval> share_interval(const ShareSums& sums);

// Sums of a figure in [0, 1], one value a cluster.
struct MeanSums {
  int64_t n = 0;
  double sum = 0, square = 0;
  void add(double value);
  double mean() const { return sum / static_cast<double>(n); }  // NaN without values
};
// 95 % interval of the mean, from the spread of the values: Student's, within [0, 1]. nullopt below kLeastClusters.
std::optional<Interval> mean_interval(const MeanSums& sums);

// 1 - miss / 2 of Student's t: half the width, in standard errors, of an interval that misses with probability `miss`.
// degrees >= 1.
double t_quantile(int64_t degrees, double miss = 0.05);
double normal_quantile(double probability);  // of N(0, 1); probability in (0, 1)

}  // namespace evenkeel::analysis
