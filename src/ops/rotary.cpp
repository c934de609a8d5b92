#include "ops/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>

namespace evenkeel::ops {
namespace {

constexpr Named<RotaryPairs> kPairs[] = {{"halves", RotaryPairs::halves}, {"interleaved", RotaryPairs::interleaved}};

struct Angles {
  double dims, theta, length;
  double frequency(double j) const { return std::exp(-2 * j / dims * std::log(theta)); }  // eq. 15
};

// Of pair j. Each is a rule of transformers' modeling_rope_utils.py.
double frequency_of(const NoScaling&, const Angles& a, int64_t j) { return a.frequency(static_cast<double>(j)); }

double frequency_of(const LinearScaling& s, const Angles& a, int64_t j) {
  return a.frequency(static_cast<double>(j)) / s.factor;
}

double frequency_of(const DynamicScaling& s, Angles a, int64_t j) {
  const auto original = static_cast<double>(s.original_length);
  const double length = std::max(a.length, original);
  a.theta *= std::pow(s.factor * length / original - (s.factor - 1), a.dims / (a.dims - 2));
  return a.frequency(static_cast<double>(j));
}

double frequency_of(const Llama3Scaling& s, const Angles& a, int64_t j) {
  const double frequency = a.frequency(static_cast<double>(j)), wavelength = 2 * std::numbers::pi / frequency;
  const auto original = static_cast<double>(s.original_length);
  if (wavelength > original / s.low_freq_factor) return frequency / s.factor;
  if (wavelength < original / s.high_freq_factor) return frequency;
  const double smooth = (original / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
  return (1 - smooth) * frequency / s.factor + smooth * frequency;
}

double frequency_of(const YarnScaling& s, const Angles& a, int64_t j) {
  // The pair that turns so often within the original length.
  const auto pair_of = [&](double turns) {
    return a.dims * std::log(static_cast<double>(s.original_length) / (2 * std::numbers::pi * turns)) /
           (2 * std::log(a.theta));
  };
  double low = pair_of(s.beta_fast), high = pair_of(s.beta_slow);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, a.dims - 1);
  if (low == high) high += 0.001;
  const double ramp = std::clamp((static_cast<double>(j) - low) / (high - low), 0.0, 1.0);
  const double frequency = a.frequency(static_cast<double>(j));
  return frequency / s.factor * ramp + frequency * (1 - ramp);
}

double frequency_of(const LongropeScaling& s, const Angles& a, int64_t j) {
  const auto& factors = a.length > static_cast<double>(s.original_length) ? s.long_factor : s.short_factor;
  return a.frequency(static_cast<double>(j)) / factors.at(static_cast<size_t>(j));
}

double attention_factor_of(const auto&) { return 1; }

double attention_factor_of(const YarnScaling& s) {
  if (s.attention_factor != 0) return s.attention_factor;
  if (s.mscale != 0 && s.mscale_all_dim != 0)
    return yarn_mscale(s.factor, s.mscale) / yarn_mscale(s.factor, s.mscale_all_dim);
  return yarn_mscale(s.factor, 1);
}

double attention_factor_of(const LongropeScaling& s) {
  if (s.attention_factor != 0) return s.attention_factor;
  return s.factor <= 1 ? 1 : std::sqrt(1 + std::log(s.factor) / std::log(static_cast<double>(s.original_length)));
}

}  // namespace

std::span<const Named<RotaryPairs>> names_of(RotaryPairs) { return kPairs; }

at::Tensor rotary_frequencies(const Rotation& rotation, int64_t length) {
  const Angles angles{static_cast<double>(rotation.dims), rotation.theta, static_cast<double>(length)};
  auto out = at::empty({rotation.dims / 2}, at::kDouble);
  double* values = out.mutable_data_ptr<double>();
  for (int64_t j = 0; j < rotation.dims / 2; ++j)
    values[j] = std::visit([&](const auto& scaling) { return frequency_of(scaling, angles, j); }, rotation.scaling);
  return out;
}

double attention_factor(const RotaryScaling& scaling) {
  return std::visit([](const auto& chosen) { return attention_factor_of(chosen); }, scaling);
}

double yarn_mscale(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1; }

RotaryTable make_rotary_table(const Rotation& rotation, const at::Tensor& positions, int64_t length,
                              at::ScalarType dtype) {
  const auto frequencies = rotary_frequencies(rotation, length).to(positions.device());
  const auto angles = positions.to(at::kDouble).unsqueeze(1) * frequencies.unsqueeze(0);
  const double factor = attention_factor(rotation.scaling);
  const auto sized = [&](const at::Tensor& x) { return (factor == 1 ? x : x * factor).to(dtype); };
  return {sized(angles.cos()), sized(angles.sin()), rotation.pairs};
}

at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table) {
  const int64_t half = table.cosine.size(1);
  if (half == 0) return x;
  const int64_t n_rows = table.cosine.size(0);
  const int64_t batch = n_rows == x.size(1) ? 1 : x.size(0);
  const auto cosine = table.cosine.view({batch, x.size(1), 1, half});
  const auto sine = table.sine.view({batch, x.size(1), 1, half});
  const bool is_interleaved = table.pairs == RotaryPairs::interleaved;
  const auto turned = x.narrow(3, 0, 2 * half);
  const auto first = is_interleaved ? turned.slice(3, 0, 2 * half, 2) : turned.narrow(3, 0, half);
  const auto second = is_interleaved ? turned.slice(3, 1, 2 * half, 2) : turned.narrow(3, half, half);
  std::vector<at::Tensor> parts = {first * cosine - second * sine, second * cosine + first * sine};
  if (is_interleaved) parts = {at::stack(parts, 4).flatten(3)};
  if (2 * half < x.size(3)) parts.push_back(x.narrow(3, 2 * half, x.size(3) - 2 * half));
  return parts.size() == 1 ? parts[0] : at::cat(parts, 3);
}

}  // namespace evenkeel::ops
