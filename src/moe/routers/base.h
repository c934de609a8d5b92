// The balanced assignment of `base`, for its test.
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace evenkeel::moe {

constexpr size_t kNobody = SIZE_MAX;

struct AuctionResult {
  std::vector<size_t> worker_of_job;  // [J], kNobody = left over
  int64_t rounds = 0;                 // until every worker had jobs of its own; 2 * max_rounds = filled up greedily
};
// Gives each of W workers `jobs_per_worker` of J jobs, no job twice, so that the sum of values is near the
// largest possible: fairseq's clib/libbase/balanced_assignment.cpp, with ties to the lower job and worker.
// values [W, J] fp64 on the CPU, contiguous, finite; jobs_per_worker >= 1; W * jobs_per_worker <= J.
AuctionResult auction(const at::Tensor& values, int64_t jobs_per_worker, int64_t max_rounds);

// [T] i64: the expert of each token; no two loads differ by more than 1. affinities [T, E] fp64 on the CPU.
at::Tensor balanced_assignment(const at::Tensor& affinities, int64_t max_rounds);

}  // namespace evenkeel::moe
