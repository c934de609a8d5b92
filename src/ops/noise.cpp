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

#include "core/rng.h"

namespace evenkeel::ops {
namespace {

// Doubles take the upper 53 bits of a number, floats the upper 24.
template <class T>
constexpr int kDropped = std::is_same_v<T, double> ? 11 : 40;
template <class T>
constexpr double kUnit = std::is_same_v<T, double> ? 0x1.0p-53 : 0x1.0p-24;

template <class T>
void fill_uniform(const at::Tensor& out, uint64_t seed) {
  T* to = out.mutable_data_ptr<T>();
  at::parallel_for(0, out.numel(), 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint64_t bits = mix_bits(seed + static_cast<uint64_t>(i + 1) * kSplitMixStep);
      to[i] = static_cast<T>(static_cast<int64_t>(bits >> kDropped<T>)) * static_cast<T>(kUnit<T>);
    }
  });
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
    fill_uniform<double>(out, seed);
  } else {
    fill_uniform<float>(out, seed);
  }
  return out;
}

at::Tensor uniform_noise_of_tensors(at::IntArrayRef sizes, uint64_t seed, const at::TensorOptions& options) {
  const bool is_double = options.dtype() == at::kDouble;
  auto x = at::arange(1, c10::multiply_integers(sizes) + 1, options.dtype(at::kLong));
  x = x.mul(static_cast<int64_t>(kSplitMixStep)).add(static_cast<int64_t>(seed));  // wraps, as mix_bits does
  x = at::bitwise_xor(x, shifted(x, 30)).mul(static_cast<int64_t>(kSplitMixFactors[0]));
  x = at::bitwise_xor(x, shifted(x, 27)).mul(static_cast<int64_t>(kSplitMixFactors[1]));
  x = at::bitwise_xor(x, shifted(x, 31));
  const auto upper = shifted(x, is_double ? kDropped<double> : kDropped<float>);
  return upper.to(options.dtype()).mul(is_double ? kUnit<double> : kUnit<float>).view(sizes);
}

at::Tensor normal_noise(at::IntArrayRef sizes, uint64_t seed, const at::TensorOptions& options) {
  const auto first = uniform_noise(sizes, mix_bits(seed ^ 1), options), second = uniform_noise(sizes, mix_bits(seed ^ 2), options);
  return at::sqrt(at::log1p(-first).mul(-2)).mul(at::cos(second.mul(2 * std::numbers::pi)));
}

}  // namespace evenkeel::ops
