#include "optim/gradient_norm.h"

#include <algorithm>
#include <cmath>

#include <ATen/Parallel.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>

namespace evenkeel::optim {
namespace {

constexpr int64_t kBlock = int64_t{1} << 16;

struct Block {
  const float* values;
  int64_t size;
};

// Eight sums side by side, which the compiler keeps in vector registers, added in a fixed order at the end.
double sum_of_squares(const Block& block) {
  constexpr int64_t kLanes = 8;
  double sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= block.size; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane)
      sums[lane] += static_cast<double>(block.values[i + lane]) * static_cast<double>(block.values[i + lane]);
  for (; i < block.size; ++i) sums[0] += static_cast<double>(block.values[i]) * static_cast<double>(block.values[i]);
  double sum = 0;
  for (const double lane : sums) sum += lane;
  return sum;
}

double sum_of_blocks(const std::vector<Block>& blocks) {
  std::vector<double> sums(blocks.size());
  at::parallel_for(0, static_cast<int64_t>(blocks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sums[static_cast<size_t>(i)] = sum_of_squares(blocks[static_cast<size_t>(i)]);
  });
  double sum = 0;
  for (const double block : sums) sum += block;
  return sum;
}

}  // namespace

double gradient_norm(const std::vector<at::Tensor>& gradients) {
  std::vector<Block> blocks;
  std::vector<at::Tensor> norms,
      kept;  // norms: of the tensors that are not fp32 on the CPU; kept: copies that `blocks` point into
  for (const auto& gradient : gradients) {
    if (!gradient.defined() || gradient.numel() == 0) continue;
    if (!gradient.is_cpu() || gradient.scalar_type() != at::kFloat) {
      norms.push_back(at::linalg_vector_norm(gradient, 2, c10::nullopt, /*keepdim=*/false, at::kDouble));
      continue;
    }
    kept.push_back(gradient.contiguous());
    const float* values = kept.back().const_data_ptr<float>();
    for (int64_t first = 0; first < gradient.numel(); first += kBlock)
      blocks.push_back({values + first, std::min(kBlock, gradient.numel() - first)});
  }
  double sum = sum_of_blocks(blocks);
  if (!norms.empty()) sum += at::stack(norms).square().sum().item<double>();
  return std::sqrt(sum);
}

void clip_gradients(const std::vector<at::Tensor>& gradients, double norm, double clip_norm) {
  const double scale = clip_norm / (norm + 1e-6);
  if (clip_norm <= 0 || scale >= 1) return;
  for (const auto& gradient : gradients)
    if (gradient.defined()) gradient.mul_(scale);
}

}  // namespace evenkeel::optim
