// How sure a figure of counts is that is no mean, such as the entropy of a load: by a bootstrap of blocks
// of neighbouring windows.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "analysis/share_interval.h"

namespace evenkeel::analysis {

// Sums of counts [n] over windows, each window taken Poisson(1) times, in kReplicates draws: the bootstrap of a stream
// that is read once (Chamandy, Muralidharan, Najmi and Naidu, "Estimating Uncertainty for Massive Data Streams",
// Google, 2012). Windows of one number, a block of neighbours, are drawn as one: how much they and their tokens
// resemble each other then does not matter. Draws depend on (seed, data set, number) alone and sums are integers:
// neither batches nor threads change a bit.
class WindowBootstrap {
 public:
  static constexpr size_t kReplicates = 200;  // the standard error is then itself known to 5 %
  explicit WindowBootstrap(size_t n) : n_(n), sums_(kReplicates * n) {}
  using Weights = std::vector<uint8_t>;  // [kReplicates]
  static Weights weights(uint64_t seed, uint64_t data, uint64_t window);
  void add(const Weights& weights, std::span<const int64_t> counts);
  std::span<const int64_t> replicate(size_t r) const { return {sums_.data() + r * n_, n_}; }

 private:
  size_t n_;
  std::vector<int64_t> sums_;  // [kReplicates, n]
};

// 95 % interval of a figure from its values in the replicates: 2 * figure - their mean, which takes away what the
// figure is off because windows are few, and their standard deviation times sqrt(W / (W - 1)) and Student's quantile of
// W - 1 to each side, W windows; no further than `bounds`, and with the figure itself in it. nullopt below
// kLeastClusters windows and two replicates, and for a value of NaN.
std::optional<Interval> bootstrap_interval(double figure, std::span<const double> replicates, int64_t n_windows,
                                           Interval bounds);

}  // namespace evenkeel::analysis
