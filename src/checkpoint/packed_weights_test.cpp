#include "checkpoint/packed_weights.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "golden/golden.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::checkpoint {
namespace {

using testing::message_of;
using testing::same_bits;
using testing::tensor_of;

at::Tensor as_bytes(const Json& json, at::ScalarType dtype) { return tensor_of(json).to(at::kByte).view(dtype); }

class PackedWeights : public ::testing::Test {
 protected:
  const testing::Golden golden_ = testing::read_golden("packed_weights.json");
  at::Tensor wanted(const char* name) const { return tensor_of(golden_.outputs.at(name)).to(at::kBFloat16); }
};

TEST_F(PackedWeights, OfMxfp4AreExact) {
  const Json& in = golden_.inputs.at("mxfp4");
  for (const auto dtype : {at::kByte, at::kFloat8_e8m0fnu}) {
    const auto got = decode_mxfp4(as_bytes(in.at("blocks"), at::kByte), as_bytes(in.at("scales"), dtype), "w");
    EXPECT_TRUE(same_bits(got, wanted("mxfp4")));
  }
}

TEST_F(PackedWeights, OfFp8HaveTheScaleOfTheirBlock) {
  for (const char* name : {"fp8_rows", "fp8_columns"}) {
    const Json& in = golden_.inputs.at(name);
    const auto got =
        decode_fp8(as_bytes(in.at("weight"), at::kFloat8_e4m3fn), tensor_of(in.at("scales")).to(at::kFloat), "w");
    EXPECT_TRUE(same_bits(got, wanted(name))) << name;
  }
  const Json& in = golden_.inputs.at("fp8_e8m0");
  for (const auto dtype : {at::kByte, at::kFloat8_e8m0fnu}) {
    const auto got = decode_fp8(as_bytes(in.at("weight"), at::kFloat8_e4m3fn), as_bytes(in.at("scales"), dtype), "w");
    EXPECT_TRUE(same_bits(got, wanted("fp8_e8m0")));
  }
}

TEST(PackedWeightsThatAreNoNumbers, AreRefused) {
  const auto blocks = at::full({1, 1, 16}, 0x33, at::kByte);  // 3/2
  const auto scales = [](int64_t value) { return at::full({1, 1}, value, at::kByte); };
  EXPECT_EQ(message_of<CheckpointError>([&] { decode_mxfp4(blocks, scales(255), "w"); }),
            "w: got a scale of 255, which is no number; need 0..254");
  const std::string not_finite = "w: got a value that is no number, or beyond bf16; need finite ones";
  EXPECT_NO_THROW(decode_mxfp4(blocks, scales(254), "w"));  // 3/2 * 2^127
  EXPECT_EQ(message_of<CheckpointError>([&] { decode_mxfp4(blocks + 0x44, scales(254), "w"); }), not_finite);  // 6
  const auto fp8 = [](int64_t code) { return at::full({2, 2}, code, at::kByte).view(at::kFloat8_e4m3fn); };
  const auto one = at::full({1, 1}, 1.0F);
  EXPECT_NO_THROW(decode_fp8(fp8(0x7e), one, "w"));  // 448
  for (const int64_t code : {0x7f, 0xff})
    EXPECT_EQ(message_of<CheckpointError>([&] { decode_fp8(fp8(code), one, "w"); }), not_finite) << code;
  for (const double scale : {1e38, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
    EXPECT_EQ(message_of<CheckpointError>([&] {
                decode_fp8(fp8(0x7e), at::full({1, 1}, scale, at::kFloat), "w");
              }),
              not_finite)
        << scale;
}

}  // namespace
}  // namespace evenkeel::checkpoint
