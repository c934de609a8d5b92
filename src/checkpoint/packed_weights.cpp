#include "checkpoint/packed_weights.h"

#include <array>
#include <cmath>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>

#include "core/errors.h"

namespace evenkeel::checkpoint {
namespace {

constexpr int kNoScale = 255;  // of E8M0: no number
constexpr int kScaleBias = 127;

// [16] of a block with this scale; exact in bf16, or infinite.
std::array<c10::BFloat16, 16> mxfp4_values(int scale) {
  constexpr std::array<float, 8> kMagnitudes = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  std::array<c10::BFloat16, 16> out;
  for (size_t code = 0; code < out.size(); ++code) {
    const float value = std::ldexp(kMagnitudes[code % 8], scale - kScaleBias);
    out[code] = code < 8 ? value : -value;
  }
  return out;
}

// The bytes of a tensor of one byte an element.
const uint8_t* bytes_of(const at::Tensor& tensor) { return static_cast<const uint8_t*>(tensor.const_data_ptr()); }

void require_scales(const at::Tensor& scales, const std::string& where) {
  const uint8_t* bytes = bytes_of(scales);
  for (int64_t i = 0; i < scales.numel(); ++i)
    require<CheckpointError>(bytes[i] != kNoScale, where, ": got a scale of 255, which is no number; need 0..254");
}

void require_finite(const at::Tensor& values, const std::string& where) {
  require<CheckpointError>(at::isfinite(values).all().item<bool>(), where,
                           ": got a value that is no number, or beyond bf16; need finite ones");
}

// Scales as fp32 numbers, whatever they are stored in.
std::vector<float> scale_values(const at::Tensor& scales, const std::string& where) {
  std::vector<float> out(static_cast<size_t>(scales.numel()));
  if (scales.scalar_type() == at::kFloat) {
    std::copy_n(scales.const_data_ptr<float>(), out.size(), out.begin());
    return out;
  }
  require_scales(scales, where);
  for (size_t i = 0; i < out.size(); ++i) out[i] = std::ldexp(1.0F, bytes_of(scales)[i] - kScaleBias);
  return out;
}

}  // namespace

at::Tensor decode_mxfp4(const at::Tensor& blocks, const at::Tensor& scales, const std::string& where) {
  constexpr int64_t kBytes = kMxfp4Block / 2;
  std::vector<int64_t> shape = scales.sizes().vec();
  shape.back() *= kMxfp4Block;
  const auto out = at::empty(shape, at::kBFloat16);
  require_scales(scales, where);
  std::vector<std::array<c10::BFloat16, 16>> values;
  for (int scale = 0; scale < kNoScale; ++scale) values.push_back(mxfp4_values(scale));
  const uint8_t *codes = bytes_of(blocks), *scale_codes = bytes_of(scales);
  auto* target = out.mutable_data_ptr<c10::BFloat16>();
  at::parallel_for(0, scales.numel(), 1024, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const auto& of_scale = values[scale_codes[block]];
      for (int64_t i = 0; i < kBytes; ++i) {
        const uint8_t pair = codes[block * kBytes + i];
        target[block * kMxfp4Block + 2 * i] = of_scale[pair % 16];
        target[block * kMxfp4Block + 2 * i + 1] = of_scale[pair / 16];
      }
    }
  });
  require_finite(out, where);
  return out;
}

at::Tensor decode_fp8(const at::Tensor& weight, const at::Tensor& scales, const std::string& where) {
  const int64_t n_rows = weight.size(0), n_columns = weight.size(1), scale_columns = scales.size(1);
  const auto factors = scale_values(scales, where);
  std::array<float, 256> values{};
  for (size_t code = 0; code < values.size(); ++code)
    values[code] = c10::Float8_e4m3fn(static_cast<uint8_t>(code), c10::Float8_e4m3fn::from_bits());
  const auto out = at::empty(weight.sizes(), at::kBFloat16);
  const uint8_t* codes = bytes_of(weight);
  auto* target = out.mutable_data_ptr<c10::BFloat16>();
  at::parallel_for(0, n_rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t column = 0; column < n_columns; ++column) {
        const int64_t at = row * n_columns + column;
        const int64_t block = row / kFp8Block * scale_columns + column / kFp8Block;
        target[at] = values[codes[at]] * factors[static_cast<size_t>(block)];
      }
  });
  require_finite(out, where);
  return out;
}

}  // namespace evenkeel::checkpoint
