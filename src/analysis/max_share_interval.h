// How sure the shares of a layer's experts are, and the largest of them (the MRI of arXiv 2503.05029).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "analysis/share_interval.h"

namespace evenkeel::analysis {

// How the tokens of an expert lie in the windows that were routed together. A window's tokens resemble each
// other, so T tokens say less than T independent ones.
struct WindowSums {
  int64_t n_windows = 0, tokens_squared = 0;     // sum over windows of T_w^2
  std::vector<int64_t> count_squared = {};       // [E] sum over windows of n_we^2
  std::vector<int64_t> count_times_tokens = {};  // [E] sum over windows of n_we T_w
  int64_t open_number = -1, open_tokens = 0;     // the windows that were routed together and may have more to come
  std::vector<int64_t> open_counts = {};         // [E]
  // counts [E]; `number` as in ShareSums::add: windows of one number >= 0 count as one. Those of no token are left out.
  void add(std::span<const int64_t> counts, int64_t n_tokens, int64_t number = -1);
  WindowSums closed() const;
};

struct MaxShareInterval {
  double low = 0, high = 1;
  double effective_tokens = 0;  // of the layer: tokens / design effect
};
// 95 % interval of the largest share of tokens in the text that the data set is a sample of. Wilson's score
// interval of every expert at level 1 - 0.05 / E (Bonferroni: all hold at once), so the largest share
// lies between the largest of the low and of the high ends. Each expert's tokens are divided by its design effect,
// the variance of its share between windows over that of independent tokens (ratio estimator; at least
// the mean over experts, and at least 1). That variance is known from the windows alone, so the quantile is Student's
// of windows - 1. nullopt below 2 windows, and where they are not known (null).
std::optional<MaxShareInterval> max_share_interval(const std::vector<int64_t>& tokens_per_expert, int64_t n_tokens,
                                                   const WindowSums* windows);

// Of every expert's share of tokens by itself, 95 % each, with the same design effects; empty where there is none.
std::vector<Interval> share_intervals(const std::vector<int64_t>& tokens_per_expert, int64_t n_tokens,
                                      const WindowSums* windows);

}  // namespace evenkeel::analysis
