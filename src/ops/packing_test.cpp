#include "ops/packing.h"

#include <ATen/ops/arange.h>
#include <gtest/gtest.h>

namespace evenkeel::ops {
namespace {

const Packing kProjections{false, {{"q", 4}, {"k", 2}, {"v", 2}}};
const Packing kExperts{true, {{"gate", 2}, {"up", 1}}};

TEST(Packing, PartsAreRowsOneAfterAnother) {
  const auto qkv = at::arange(24).view({8, 3});
  EXPECT_EQ(part_of(qkv, kProjections, 0).sizes(), (at::IntArrayRef{4, 3}));
  EXPECT_EQ(part_of(qkv, kProjections, 1)[0][0].item<int64_t>(), 12);
  EXPECT_EQ(part_of(qkv, kProjections, 2)[1][2].item<int64_t>(), 23);
  EXPECT_EQ(part_shape({8, 3}, kProjections, 2), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(part_shape({8}, kProjections, 0), (std::vector<int64_t>{4}));  // biases lie as their matrices do
}

TEST(Packing, ExpertsKeepTheirDimension) {
  const auto gate_up = at::arange(30).view({2, 3, 5});
  const auto up = part_of(gate_up, kExperts, 1);
  EXPECT_EQ(up.sizes(), (at::IntArrayRef{2, 1, 5}));
  EXPECT_EQ(up[0][0][0].item<int64_t>(), 10);
  EXPECT_EQ(up[1][0][0].item<int64_t>(), 25);
  EXPECT_EQ(part_shape({2, 3, 5}, kExperts, 0), (std::vector<int64_t>{2, 2, 5}));
}

TEST(Packing, PartsAreViews) {
  const auto qkv = at::arange(24).view({8, 3});
  part_of(qkv, kProjections, 1).zero_();
  EXPECT_EQ(qkv.narrow(0, 4, 2).abs().sum().item<int64_t>(), 0);
  EXPECT_EQ(qkv[3][2].item<int64_t>(), 11);
}

TEST(Packing, OfOneMatrixIsTheParameter) {
  const auto down = at::arange(6).view({2, 3});
  EXPECT_EQ(part_of(down, {}, 0).data_ptr(), down.data_ptr());
  EXPECT_EQ(part_shape({2, 3}, {}, 0), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(Packing{}.n_parts(), 1u);
  EXPECT_EQ(part_suffix({}, 0), "");
  EXPECT_EQ(part_suffix({false, {{"q", 2}}}, 0), "");
  EXPECT_EQ(part_suffix(kProjections, 1), ".k");
}

}  // namespace
}  // namespace evenkeel::ops
