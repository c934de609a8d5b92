#include "moe/router.h"

#include <limits>

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::moe {
namespace {

using ::testing::HasSubstr;

RouterInput input_of(at::Tensor hidden, at::Tensor weight) {
  RouterInput input;
  input.hidden = std::move(hidden);
  input.weight = std::move(weight);
  input.layer = 7;
  input.step = 42;
  return input;
}

TEST(RouterLogits, AreHiddenTimesWeightInFp32OrWider) {
  const auto hidden = testing::random_tensor({3, 4}, 1), weight = testing::random_tensor({5, 4}, 2);
  const auto wide = router_logits(input_of(hidden, weight), 1e30);
  EXPECT_EQ(wide.scalar_type(), at::kDouble);
  testing::expect_close(wide, hidden.matmul(weight.t()), 1e-14, 1e-14, "fp64");
  for (const auto dtype : {at::kBFloat16, at::kFloat}) {
    const auto narrow = router_logits(input_of(hidden.to(dtype), weight.to(dtype)), 1e30);
    EXPECT_EQ(narrow.scalar_type(), at::kFloat);  // products of bf16 are exact in fp32: only the sum of 4 rounds
    testing::expect_close(narrow, hidden.to(dtype).to(at::kDouble).matmul(weight.to(dtype).to(at::kDouble).t()), 1e-5,
                          1e-6, "fp32");
  }
}

TEST(RouterLogits, NameLayerAndStepOfValuesOutsideTheRange) {
  const auto weight = at::ones({2, 1});
  for (const double bad :
       {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    const auto message = testing::message_of<NumericsError>([&] {
      router_logits(input_of(at::full({3, 1}, bad), weight), 1e30);
    });
    EXPECT_THAT(message, HasSubstr("layer 7, step 42"));
  }
  EXPECT_THAT(testing::message_of<NumericsError>([&] {
                router_logits(input_of(at::full({1, 1}, -81.0), weight), 80);
              }),
              HasSubstr("-81"));
  EXPECT_NO_THROW(router_logits(input_of(at::full({1, 1}, 80.0), weight), 80));
  EXPECT_EQ(router_logits(input_of(at::zeros({0, 1}), weight), 80).sizes(), (at::IntArrayRef{0, 2}));
}

TEST(RouterLogits, OfPaddingMayBeAnything) {
  const auto weight = at::ones({2, 1});
  auto input = input_of(at::tensor({1.0F, 200.0F, 2.0F}).view({3, 1}), weight);
  EXPECT_THAT(testing::message_of<NumericsError>([&] { router_logits(input, 80); }), HasSubstr("200"));
  input.is_padding = at::tensor({0, 1, 0}).to(at::kBool);
  EXPECT_TRUE(
      testing::same_bits(router_logits(input, 80), at::tensor({1.0F, 1.0F, 200.0F, 200.0F, 2.0F, 2.0F}).view({3, 2})));
}

TEST(TokenChoice, OrdersAssignmentsByTokenThenRank) {
  const auto logits = at::zeros({2, 3});
  const auto ids = at::tensor({2, 0, 1, 2}).to(at::kLong).view({2, 2});
  const auto weights = at::tensor({0.4, 0.3, 0.2, 0.1}).view({2, 2});
  const auto decision = token_choice(input_of({}, {}), logits, ids, weights);
  EXPECT_TRUE(testing::same_bits(decision.token_ids, at::tensor({0, 0, 1, 1}).to(at::kLong)));
  EXPECT_TRUE(testing::same_bits(decision.expert_ids, ids.reshape({-1})));
  EXPECT_TRUE(testing::same_bits(decision.weights, weights.reshape({-1})));
  EXPECT_EQ(decision.layer, 7);
  EXPECT_EQ(decision.n_tokens, 2);
  EXPECT_EQ(decision.n_experts, 3);
  EXPECT_EQ(decision.top_k, 2);
  EXPECT_FALSE(decision.dropped.defined());
}

TEST(TokenChoice, IdsAreContiguousAlsoForOneToken) {
  const auto logits = at::zeros({1, 4});
  const auto decision = token_choice({}, logits, at::tensor({2, 0}, at::kLong).view({1, 2}), at::ones({1, 2}));
  EXPECT_TRUE(decision.token_ids.is_contiguous());
  EXPECT_EQ(decision.token_ids.numel(), 2);
  EXPECT_EQ(decision.token_ids.sum().item<int64_t>(), 0);
}

TEST(FixedChoice, WeighsEveryExpertAlikeAndHasNoLogits) {
  const auto ids = at::tensor({2, 0, 1, 3, 0, 1}).to(at::kLong).view({3, 2});
  for (const auto dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    auto input = input_of(at::zeros({3, 5}, dtype), {});
    input.is_padding = at::zeros({3}, at::kBool);
    const auto decision = fixed_choice(input, 4, ids);
    EXPECT_TRUE(testing::same_bits(decision.token_ids, at::tensor({0, 0, 1, 1, 2, 2}).to(at::kLong)));
    EXPECT_TRUE(testing::same_bits(decision.expert_ids, ids.reshape({-1})));
    EXPECT_TRUE(
        testing::same_bits(decision.weights, at::full({6}, 0.5, dtype == at::kDouble ? at::kDouble : at::kFloat)));
    EXPECT_FALSE(decision.weights.requires_grad());
    EXPECT_FALSE(decision.logits.defined());
    EXPECT_TRUE(decision.is_padding.defined());
    EXPECT_EQ(decision.n_experts, 4);
    EXPECT_EQ(decision.top_k, 2);
    EXPECT_EQ(decision.n_tokens, 3);
  }
}

}  // namespace
}  // namespace evenkeel::moe
