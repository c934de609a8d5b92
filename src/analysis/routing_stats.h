// What a layer's routing looks like, as pure functions of counts and decisions. The trainer (live) and the
// analyses (offline) both call these, so a figure has one definition.
#pragma once

#include <vector>

#include <ATen/core/Tensor.h>

#include "moe/router.h"
#include "record/run_lines.h"

namespace evenkeel::analysis {

// Counts of one layer over any number of tokens; padding is not counted.
struct RoutingCounts {
  int64_t layer = 0, n_experts = 0, top_k = 0;
  int64_t n_tokens = 0;
  int64_t n_dropped = 0;                   // assignments over capacity
  std::vector<int64_t> tokens_per_expert;  // [E] assignments before drops
};
RoutingCounts count_routing(const moe::RoutingDecision& decision);
// The same counts on the decision's device, so that a step reads those of all its layers at once.
struct RoutingTally {
  int64_t layer = 0, n_experts = 0, top_k = 0;
  at::Tensor
      counts;  // [E + 2] i64: the assignments of each expert, tokens, dropped assignments; those of a layer add up
};
RoutingTally tally_routing(const moe::RoutingDecision& decision);
at::Tensor tally_by_tensors(const moe::RoutingDecision& decision);  // RoutingTally::counts as an accelerator makes them
RoutingCounts counts_of(const RoutingTally& tally, const std::vector<int64_t>& counts);
void add_counts(RoutingCounts& total, const RoutingCounts& more);  // same layer
void add_counts(std::vector<RoutingCounts>& total, const std::vector<moe::RoutingDecision>& decisions);

using RoutingStats = record::LayerRouting;
RoutingStats routing_stats(const RoutingCounts& counts);

// Router saturation between two checkpoints on the same tokens (arXiv 2409.02060, eq. 5), before drops, padding not
// counted; of any number of experts a token. With A_t and B_t the experts of token t before and after:
//   all choices   sum_t |A_t and B_t| / sum_t |B_t|, which is eq. 5's mean of |A and B| / k where every token has k;
//                 chance: sum_t |A_t| |B_t| / (E sum_t |B_t|), which is k / E there
//   first choice  the share of the tokens whose best expert is the same, of those that have one in both; chance: 1 / E
// 0 without tokens.
struct SaturationCounts {
  int64_t n_experts = 0;
  int64_t common = 0, chosen = 0, products = 0;  // sums of |A and B|, |B|, |A| |B|
  int64_t firsts = 0, same_firsts = 0;           // tokens with an expert in both; those whose best is the same
  double of_all() const;
  double of_first() const;
  double chance_of_all() const;
  double chance_of_first() const { return 1.0 / static_cast<double>(n_experts); }
};
SaturationCounts count_saturation(const moe::RoutingDecision& before, const moe::RoutingDecision& after);
// Window by window of so many tokens, of which T is a multiple.
std::vector<SaturationCounts> count_saturation(const moe::RoutingDecision& before, const moe::RoutingDecision& after,
                                               int64_t window_tokens);
void add_counts(SaturationCounts& total, const SaturationCounts& more);

}  // namespace evenkeel::analysis
