#include "optim/optimizer.h"

#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include "support/optimizers.h"

namespace evenkeel::optim {
namespace {

TEST(OptimizerState, BeginsWithMomentsOfZeroOfTheParametersType) {
  ops::Params params;
  params.add("w", at::ones({2, 3}, at::kDouble).requires_grad_(true));
  params.add("norm", at::ones({3}, at::kDouble));
  const auto optimizer = testing::optimizer_for(params);
  const auto state = initial_optimizer_state(*optimizer, params);
  EXPECT_EQ(state.kind, "adamw");
  EXPECT_EQ(state.updates, (std::vector<int64_t>{0, 0}));
  ASSERT_EQ(state.moments.size(), optimizer->moment_forms().size());
  for (size_t i = 0; i < state.moments.size(); ++i) {
    EXPECT_EQ(state.moments.name(i), optimizer->moment_forms()[i].name);
    EXPECT_EQ(state.moments.tensor(i).sizes(), at::IntArrayRef(optimizer->moment_forms()[i].shape));
    EXPECT_EQ(state.moments.tensor(i).scalar_type(), at::kDouble);
    EXPECT_FALSE(state.moments.tensor(i).requires_grad());
    EXPECT_EQ(state.moments.tensor(i).abs().max().item<double>(), 0.0);
  }
  EXPECT_EQ(optimizer->moment_floats(), 2 * (6 + 3));
}

TEST(Rates, AreTheLearningRateTimesTheFactor) {
  const RateFactors factors{{1, 0.25, 0}};
  const Rates rates{0.5, factors};
  EXPECT_EQ(rates.of(0), 0.5);
  EXPECT_EQ(rates.of(1), 0.125);
  EXPECT_EQ(rates.of(2), 0.0);
}

}  // namespace
}  // namespace evenkeel::optim
