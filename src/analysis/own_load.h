// What experts that are chosen without a look at the token would give at the load that the layer has. A router that
// sends most tokens to one expert has favourites, repeats and agreement by its load alone; the columns load_... of the
// tables say how much. Loads are counts [E] with at least one choice; all figures are fp64.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace evenkeel::analysis {

// Chance that two choices, one from each load and by themselves, are the same expert: sum_e a_e b_e of the shares.
double load_agreement(std::span<const int64_t> a, std::span<const int64_t> b);

// Root mean square of share_std for an id that occurs n >= 1 times with top_k experts each, at the shares q of the
// load: the mean over e of (q_e - 1/E)^2 + k q_e (1 - k q_e) / (n k^2). Exact, and uniform_share_std for an even load.
double load_share_std(int64_t n, int64_t top_k, std::span<const int64_t> load);

// An id's occurrences, and how many experts each has.
struct IdSize {
  int64_t occurrences = 0, top_k = 0;
};
// Mean of share_overlap of an id's assignments under two routers that choose by themselves, each at its own load. Exact
// up to a million occurrences; of more the level of a million is given.
double load_share_overlap(const IdSize& id, std::span<const int64_t> from, std::span<const int64_t> to);

// Mean of max_share for ids whose first choices are drawn from the load: draws with a fixed seed, so many for each
// number of occurrences that the standard error of a level is at most 0.6 %.
class LoadFavourite {
 public:
  explicit LoadFavourite(std::span<const int64_t> load);
  double mean_max_share(int64_t n);  // 1 at n = 1, towards the largest share

 private:
  int64_t draw(int64_t n, int64_t n_replicas) const;  // the sum of the largest counts
  std::vector<int64_t> up_to_;                        // [E] choices of experts up to e
  std::map<int64_t, double> levels_;
};

}  // namespace evenkeel::analysis
