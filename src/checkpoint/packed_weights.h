// Weights that a folder stores in 8 or in 4 bits with a scale for each block, decoded to bf16.
#pragma once

#include <string>

#include <ATen/core/Tensor.h>

namespace evenkeel::checkpoint {

inline constexpr int64_t kMxfp4Block = 32;  // elements that share a scale: 16 bytes of two each
inline constexpr int64_t kFp8Block = 128;   // rows and columns that share a scale; at the edges there are fewer

// MXFP4 (OCP Microscaling Formats 1.0): blocks U8 [..., N / 32, 16], scales U8 or F8_E8M0 [..., N / 32] -> BF16
// [..., N]. Byte b of a block holds elements 2 b (its low bits) and 2 b + 1, each a sign and one of 0, 1/2, 1, 3/2, 2,
// 3, 4, 6; times 2^(scale - 127). Exact. CheckpointError "WHERE: ..." for a scale of 255 and for a value beyond bf16.
at::Tensor decode_mxfp4(const at::Tensor& blocks, const at::Tensor& scales, const std::string& where);

// fp8 by blocks (DeepSeek-V3, arXiv 2412.19437, section 3.3.2): weight F8_E4M3 [M, N], scales F32, or U8 or F8_E8M0 (2^
// (scale - 127)), [ceil(M / 128), ceil(N / 128)] -> BF16 [M, N], element times scale in fp32, rounded once.
// CheckpointError "WHERE: ..." for a weight or scale that is no number and for a value beyond bf16.
at::Tensor decode_fp8(const at::Tensor& weight, const at::Tensor& scales, const std::string& where);

}  // namespace evenkeel::checkpoint
