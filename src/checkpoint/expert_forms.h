// How experts are made of a feed-forward network, or new experts of old ones: "Growing a model" in docs/models.md.
// Pure functions of tensors. Legend: H width of the stream, F inner width of the network, I = F / g that of an expert,
// g granularity, b blocks of rows in gate_up (2: gate and up; 3 of swiglu_double), so that gate_up is [b I, H].
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/named.h"

namespace evenkeel::checkpoint {

// What becomes of a copied expert.
enum class UpcycleMethod {
  copy,   // nothing (arXiv 2212.05055)
  noise,  // its inner features are permuted, and a share of them gets N(0, 0.02) added
  drop    // the same, and that share is drawn anew (Drop-Upcycling, arXiv 2502.19261)
};
std::span<const Named<UpcycleMethod>> names_of(UpcycleMethod);

// Which inner features `noise` and `drop` change.
enum class ChangedRows {
  each,   // drawn for gate, up and down by themselves, as Drop-Upcycling's published code does
  shared  // the same of all three, as its paper says
};
std::span<const Named<ChangedRows>> names_of(ChangedRows);

// The first values of the router's matrix.
enum class RouterInit {
  normal,            // as a run begins: the model's `init`
  torch_rand,        // U[0, 1)
  torch_rand_mean0,  // the same less its mean
  torch_normal_002,  // N(0, 0.02)
  torch_normal_028,  // N(0, 0.2887)
  torch_rand_002     // (U[0, 1) less its mean) times 0.02 sqrt(12)
};
std::span<const Named<RouterInit>> names_of(RouterInit);

// fp64 [rows, width], but for `normal`, which is the model's.
at::Tensor drawn_router(RouterInit init, int64_t rows, int64_t width, uint64_t seed);

// s of Megatron's upcycling (arXiv 2410.07524; upcycling_utils.py) without its two cases: g / W, where W is what the
// weights of a token sum to while all logits are equal. That is g where they are divided by their sum, and
// (E / g) g^2 / k for a softmax over all experts, of which the k selected have k / E.
inline double upcycle_scale(int64_t granularity, double weights_sum) {
  return static_cast<double>(granularity) / weights_sum;
}
// What each matrix is multiplied by so that their product is multiplied by s: s^(1/3) for gate, up and down, and
// s^(1/4) for the two gates of swiglu_double. Exact for s = 1 alone: a gate is not linear.
double upcycle_multiplier(double scale, int64_t n_blocks);

// Part `shard` of `n_shards` of a gate_up [b F, H], or of its bias [b F]: of each block the same rows. [b I, H] or [b
// I].
at::Tensor shard_of_gate_up(const at::Tensor& gate_up, int64_t n_blocks, int64_t shard, int64_t n_shards);
// The same of the columns of down [H, F]. [H, I].
at::Tensor shard_of_down(const at::Tensor& down, int64_t shard, int64_t n_shards);

struct ExpertChange {
  UpcycleMethod method = UpcycleMethod::copy;
  double ratio = 0.5;  // r: int(r I) features are changed
  ChangedRows rows = ChangedRows::each;
  uint64_t seed = 1;
};
// Which expert: it decides what is drawn, and nothing else does.
struct ExpertPlace {
  int64_t layer = 0, expert = 0;
};
// One permutation of the I inner features for the three matrices of an expert; the identity for `copy`.
std::vector<int64_t> expert_permutation(const ExpertChange& change, const ExpertPlace& place, int64_t inner);
// Those of the permuted features that are changed, int(r I) of them; of `matrix`, "0" .. "b-1" for the blocks of
// gate_up and "down".
std::vector<int64_t> changed_features(const ExpertChange& change, const ExpertPlace& place, const std::string& matrix,
                                      int64_t inner);

// The matrices of an expert after its change, in fp64: what is drawn anew is N(mean, std) of the values that it takes
// the place of, matrix by matrix, std with n - 1.
at::Tensor changed_gate_up(const at::Tensor& gate_up, int64_t n_blocks, const ExpertChange& change,
                           const ExpertPlace& place);
at::Tensor changed_down(const at::Tensor& down, const ExpertChange& change, const ExpertPlace& place);
// A bias [b I] is permuted with its rows, and keeps its values.
at::Tensor changed_bias(const at::Tensor& bias, int64_t n_blocks, const ExpertChange& change, const ExpertPlace& place);

// The router's row [H] of an expert that begins as another: that one's with N(0, relative times the row's standard
// deviation, of n - 1) added. fp64.
at::Tensor noised_row(const at::Tensor& row, double relative, uint64_t seed, const ExpertPlace& place);

}  // namespace evenkeel::checkpoint
