#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/router.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::moe {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Router> uniform(int64_t n_experts, int64_t top_k) {
  return make_router({n_experts, top_k}, parse_toml("kind = \"uniform\"", "r", ""));
}
RouterInput input_of(int64_t n_tokens, int64_t n_sequences = 1, Mode mode = Mode::train) {
  RouterInput input;
  input.hidden = at::zeros({n_tokens, 3});
  input.token_ids = at::arange(n_tokens, at::kLong);
  input.n_sequences = n_sequences;
  input.mode = mode;
  return input;
}

TEST(UniformRouter, MatchesTheReference) {
  const auto golden = testing::read_golden("fixed_routers.json");
  for (const auto& turn : golden.outputs.at("turns").as_array()) {
    const int64_t E = turn.at("E").as_int(), k = turn.at("k").as_int();
    const auto decision = uniform(E, k)->route(input_of(turn.at("T").as_int()));
    EXPECT_TRUE(testing::same_bits(decision.expert_ids.view({-1, k}), testing::ids_of(turn.at("ids"))))
        << E << " " << k;
    EXPECT_EQ(decision.weights.numel(), decision.expert_ids.numel());
    EXPECT_FLOAT_EQ(decision.weights.sum().item<float>(), static_cast<float>(turn.at("T").as_int()));
  }
}

TEST(UniformRouter, StartsEachSequenceAnewAtEvaluation) {
  const auto ids = uniform(4, 1)->route(input_of(6, 2, Mode::eval)).expert_ids;
  EXPECT_TRUE(testing::same_bits(ids, at::tensor({0, 1, 2, 0, 1, 2}).to(at::kLong)));
  EXPECT_TRUE(testing::same_bits(uniform(4, 1)->route(input_of(6, 2)).expert_ids,
                                 at::tensor({0, 1, 2, 3, 0, 1}).to(at::kLong)));
}

// Tokens 0, 2, 3, 5 count: turns 0 1 2 3. Padding shares the turn of the token before it (the first: turn 0).
TEST(UniformRouter, PaddingTakesNoTurn) {
  auto input = input_of(6);
  input.is_padding = at::tensor({0, 1, 0, 0, 1, 0}).to(at::kBool);
  EXPECT_TRUE(testing::same_bits(uniform(4, 1)->route(input).expert_ids, at::tensor({0, 0, 1, 2, 2, 3}).to(at::kLong)));
  input.is_padding = at::tensor({1, 1, 0, 0, 0, 0}).to(at::kBool);
  EXPECT_TRUE(testing::same_bits(uniform(4, 1)->route(input).expert_ids, at::tensor({0, 0, 0, 1, 2, 3}).to(at::kLong)));
}

TEST(UniformRouter, TakesNoTokensAndNoOptions) {
  for (const auto mode : {Mode::train, Mode::eval})
    EXPECT_EQ(uniform(4, 2)->route(input_of(0, 1, mode)).expert_ids.numel(), 0);
  EXPECT_THAT(testing::message_of<ConfigError>([] {
                make_router({4, 2}, parse_toml("kind = \"uniform\"\nscore = \"sigmoid\"", "a.toml", ""));
              }),
              HasSubstr("a.toml:2:1"));
  EXPECT_TRUE(uniform(4, 2)->traits().balanced_train);
  EXPECT_FALSE(uniform(4, 2)->traits().has_matrix);
}

}  // namespace
}  // namespace evenkeel::moe
