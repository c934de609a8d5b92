#include "model/pass.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "ops/attention.h"
#include "support/gradients.h"

namespace evenkeel::model {
namespace {

const std::vector<ops::Params> kNoStates;

at::Tensor cosine_of(const at::Tensor& positions, const ops::Rotation& rotation) {
  return ops::make_rotary_table(rotation, positions, positions.size(0), at::kDouble).cosine;
}

TEST(Pass, MakesOneTableForEachRotationThatDiffers) {
  const ModelInput input{.tokens = at::zeros({2, 5}, at::kLong)};
  const ops::Rotation narrow{2, 1e4}, wide{4, 1e4}, slow{4, 1e6};
  const Pass pass(input, kNoStates, {.rotations = {wide, narrow, wide, slow, narrow}, .sights = {{}}}, at::kDouble);
  for (const auto& rotation : {narrow, wide, slow})
    EXPECT_TRUE(testing::same_bits(pass.rotary(rotation).cosine, cosine_of(at::arange(5, at::kLong), rotation)));
  EXPECT_THROW(pass.rotary({8, 1e4}), std::logic_error);
  EXPECT_FALSE(pass.mask({}).defined());
  EXPECT_THROW(pass.mask({3}), std::logic_error);
}

TEST(Pass, StartsPositionsAnewAndMasksWhereADocumentBegins) {
  ModelInput input{.tokens = at::zeros({1, 4}, at::kLong)};
  input.document_ids = at::tensor({0, 0, 0, 1}, at::kInt).view({1, 4});
  const ops::Rotation rotation{4, 1e4};
  const Pass pass(input, kNoStates, {.rotations = {rotation}, .sights = {{}}}, at::kFloat);
  EXPECT_TRUE(testing::same_bits(
      pass.mask({}), ops::attention_mask({}, {ops::segment_starts(input.document_ids), {}}, 4, at::kFloat)));
  EXPECT_TRUE(testing::same_bits(pass.rotary(rotation).cosine,
                                 cosine_of(at::tensor({0, 1, 2, 0}, at::kLong), rotation).to(at::kFloat)));
}

// An id that comes back begins a segment of its own, for positions and mask alike.
TEST(Pass, KeepsSegmentsOfOneIdApart) {
  ModelInput input{.tokens = at::zeros({1, 3}, at::kLong)};
  input.document_ids = at::tensor({7, 8, 7}, at::kInt).view({1, 3});
  const Pass pass(input, kNoStates, {.rotations = {}, .sights = {{}}}, at::kDouble);
  EXPECT_TRUE(std::isinf(pass.mask({})[0][0][2][0].item<double>()));
  EXPECT_EQ(pass.mask({})[0][0][2][2].item<double>(), 0.0);
}

// One mask for each sight, whatever the number of layers that have it.
TEST(Pass, MakesOneMaskForEachSightThatDiffers) {
  const ModelInput input{.tokens = at::zeros({2, 4}, at::kLong)};
  const Pass pass(input, kNoStates, {.rotations = {}, .sights = {{2}, {}, {2}}}, at::kDouble);
  EXPECT_FALSE(pass.mask({}).defined());
  EXPECT_EQ(pass.mask({2}).sizes(), at::IntArrayRef({1, 1, 4, 4}));  // the same for both sequences
  EXPECT_EQ(&pass.mask({2}), &pass.mask({2}));
  EXPECT_TRUE(std::isinf(pass.mask({2})[0][0][2][0].item<double>()));
  EXPECT_EQ(pass.mask({2})[0][0][2][1].item<double>(), 0.0);
}

TEST(Pass, LetsAPrefixSeeItself) {
  ModelInput input{.tokens = at::zeros({1, 3}, at::kLong)};
  input.is_prefix = at::tensor({1, 1, 0}, at::kInt).view({1, 3}).to(at::kBool);
  const Pass pass(input, kNoStates, {.rotations = {}, .sights = {{}}}, at::kDouble);
  EXPECT_EQ(pass.mask({})[0][0][0][1].item<double>(), 0.0);
  EXPECT_TRUE(std::isinf(pass.mask({})[0][0][0][2].item<double>()));
}

}  // namespace
}  // namespace evenkeel::model
