#include "model/input.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

namespace evenkeel::model {
namespace {

TEST(InputOf, IsWhatTheBatchHoldsButForItsTargets) {
  data::Batch batch;
  batch.tokens = at::zeros({2, 3}, at::kLong);
  batch.targets = at::zeros({2, 3}, at::kLong);
  batch.document_ids = at::zeros({2, 3}, at::kInt);
  batch.is_padding = at::zeros({2, 3}, at::kBool);
  batch.is_prefix = at::zeros({2, 3}, at::kBool);
  const auto input = input_of(batch);
  EXPECT_TRUE(input.tokens.is_same(batch.tokens));
  EXPECT_TRUE(input.document_ids.is_same(batch.document_ids));
  EXPECT_TRUE(input.is_padding.is_same(batch.is_padding));
  EXPECT_TRUE(input.is_prefix.is_same(batch.is_prefix));
  EXPECT_EQ(input.mode, moe::Mode::train);
  EXPECT_TRUE(input.step_plans.empty());
}

}  // namespace
}  // namespace evenkeel::model
