// Random tensors and the comparison of autograd with central differences.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/rng.h"

namespace evenkeel::testing {

// N(0, std) in fp64, the same on every machine.
inline at::Tensor random_tensor(const std::vector<int64_t>& shape, uint64_t seed, double std = 1.0) {
  RngStream rng(seed, "test tensor");
  auto out = at::empty(shape, at::kDouble);
  for (int64_t i = 0; i < out.numel(); ++i) out.mutable_data_ptr<double>()[i] = std * rng.normal();
  return out;
}

// Uniform in [0, bound), i64.
inline at::Tensor random_ids(int64_t count, int64_t bound, uint64_t seed) {
  RngStream rng(seed, "test ids");
  auto out = at::empty({count}, at::kLong);
  for (int64_t i = 0; i < count; ++i)
    out.mutable_data_ptr<int64_t>()[i] = static_cast<int64_t>(rng.below(static_cast<uint64_t>(bound)));
  return out;
}

inline bool same_bits(const at::Tensor& left, const at::Tensor& right) {
  return left.scalar_type() == right.scalar_type() && left.sizes() == right.sizes() && at::equal(left, right);
}

using ScalarFunction = std::function<at::Tensor(const std::vector<at::Tensor>&)>;  // inputs -> scalar

inline std::vector<at::Tensor> gradients_of(const ScalarFunction& function, std::vector<at::Tensor> inputs) {
  for (auto& input : inputs) input = input.detach().clone().requires_grad_(true);
  return torch::autograd::grad({function(inputs)}, inputs, {}, std::nullopt, false, /*allow_unused=*/true);
}

// Gradients of `function` at fp64 inputs against central differences in every element. Step 1e-6: truncation
// is 1e-12 of the third derivative and rounding 1e-10 of the value, so 1e-7 separates right from wrong
// for values and derivatives up to about 10.
inline void expect_gradients(const ScalarFunction& function, const std::vector<at::Tensor>& inputs,
                             double tolerance = 1e-7) {
  constexpr double kStep = 1e-6;
  const auto gradients = gradients_of(function, inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    auto moved = inputs;
    moved[i] = inputs[i].detach().clone();
    double* values = moved[i].mutable_data_ptr<double>();
    const auto gradient = gradients[i].contiguous();
    for (int64_t j = 0; j < moved[i].numel(); ++j) {
      const double saved = values[j];
      values[j] = saved + kStep;
      const double above = function(moved).item<double>();
      values[j] = saved - kStep;
      const double below = function(moved).item<double>();
      values[j] = saved;
      const double need = (above - below) / (2 * kStep), got = gradient.const_data_ptr<double>()[j];
      ASSERT_LE(std::abs(got - need), tolerance * (1 + std::abs(need)))
          << "input " << i << ", element " << j << ": got " << got << ", need " << need;
    }
  }
}

}  // namespace evenkeel::testing
