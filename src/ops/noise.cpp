#include "ops/noise.h"

#include <numbers>

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bitwise_and.h>
#include <ATen/ops/bitwise_right_shift.h>
#include <ATen/ops/bitwise_xor.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/log1p.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/stack.h>

#include "core/rng.h"

namespace evenkeel::ops {
namespace {

constexpr double kDoubleUnit = 0x1.0p-53;
constexpr float kFloatUnit = 0x1.0p-24f;

uint64_t number(uint64_t seed, int64_t index) {
  return mix_bits(seed + static_cast<uint64_t>(index + 1) * kSplitMixStep);
}

void fill_doubles(double* to, int64_t n, uint64_t seed) {
  at::parallel_for(0, n, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      to[i] = static_cast<double>(static_cast<int64_t>(number(seed, i) >> 11)) * kDoubleUnit;
  });
}

void fill_floats(float* to, int64_t n, uint64_t seed) {
  const auto unit = [](uint64_t half) { return static_cast<float>(static_cast<int32_t>(half >> 8)) * kFloatUnit; };
  at::parallel_for(0, n / 2, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint64_t bits = number(seed, i);
      to[2 * i] = unit(bits >> 32);
      to[2 * i + 1] = unit(bits & 0xffffffff);
    }
  });
  if (n % 2 != 0) to[n - 1] = unit(number(seed, n / 2) >> 32);
}

// x >> bits without the sign.
at::Tensor shifted(const at::Tensor& x, int64_t bits) {
  return at::bitwise_and(at::bitwise_right_shift(x, bits), static_cast<int64_t>((uint64_t{1} << (64 - bits)) - 1));
}

}  // namespace

at::Tensor uniform_noise(at::IntArrayRef sizes, uint64_t seed, const at::TensorOptions& options) {
  if (!options.device().is_cpu()) return uniform_noise_of_tensors(sizes, seed, options);
  const auto out = at::empty(sizes, options);
  if (out.scalar_type() == at::kDouble) {
    fill_doubles(out.mutable_data_ptr<double>(), out.numel(), seed);
  } else {
    fill_floats(out.mutable_data_ptr<float>(), out.numel(), seed);
  }
  return out;
}

at::Tensor uniform_noise_of_tensors(at::IntArrayRef sizes, uint64_t seed, const at::TensorOptions& options) {
  const bool is_double = options.dtype() == at::kDouble;
  const int64_t n = c10::multiply_integers(sizes);
  auto x = at::arange(1, (is_double ? n : (n + 1) / 2) + 1, options.dtype(at::kLong));
  x = x.mul(static_cast<int64_t>(kSplitMixStep)).add(static_cast<int64_t>(seed));  // wraps, as mix_bits does
  x = at::bitwise_xor(x, shifted(x, 30)).mul(static_cast<int64_t>(kSplitMixFactors[0]));
  x = at::bitwise_xor(x, shifted(x, 27)).mul(static_cast<int64_t>(kSplitMixFactors[1]));
  x = at::bitwise_xor(x, shifted(x, 31));
  if (is_double) return shifted(x, 11).to(at::kDouble).mul(kDoubleUnit).view(sizes);
  const auto halves = at::stack({shifted(x, 40), at::bitwise_and(shifted(x, 8), 0xffffff)}, 1);
  return halves.view({-1}).narrow(0, 0, n).to(at::kFloat).mul(kFloatUnit).view(sizes);
}

at::Tensor normal_noise(at::IntArrayRef sizes, uint64_t seed, const at::TensorOptions& options) {
  const auto first = uniform_noise(sizes, mix_bits(seed ^ 1), options),
             second = uniform_noise(sizes, mix_bits(seed ^ 2), options);
  return at::sqrt(at::log1p(-first).mul(-2)).mul(at::cos(second.mul(2 * std::numbers::pi)));
}

}  // namespace evenkeel::ops
