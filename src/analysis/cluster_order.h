// An order of items in which alike ones stand side by side, for drawing a matrix.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace evenkeel::analysis {

// Agglomerative clustering with average linkage: the two clusters of the largest mean similarity are joined, again and
// again, turned so that their most similar ends meet. similarity [n, n] symmetric, finite; its diagonal is not read.
// Ties go to the lower items, so the same matrix always gives the same order. Returns a permutation of 0 .. n - 1.
// O(n^3).
std::vector<int64_t> cluster_order(std::span<const double> similarity, int64_t n);

}  // namespace evenkeel::analysis
