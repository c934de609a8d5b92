#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "model/ffn/ffn.h"
#include "ops/gated_ffn.h"
#include "support/gradients.h"

namespace evenkeel::model {
namespace {

TEST(DenseFfn, IsTheGatedNetworkOfItsActivation) {
  const auto ffn = dense_ffn(read_model_config(parse_toml(
      "vocab_size = 10\nd_model = 6\nn_layers = 1\nn_heads = 2\nd_ff = 5\nactivation = \"geglu\"", "m.toml", "")));
  const std::vector<at::Tensor> params = {testing::random_tensor({10, 6}, 1), testing::random_tensor({6, 5}, 2)};
  const auto x = testing::random_tensor({3, 6}, 3);
  const ModelInput input{.tokens = at::zeros({1, 3}, at::kLong)};
  const std::vector<ops::Params> states;
  const auto result = ffn->forward(params, x, Pass(input, states, {}, at::kDouble));
  EXPECT_TRUE(testing::same_bits(result.out, ops::gated_ffn(x, {params[0], params[1], ops::Activation::geglu})));
  const auto with_bias = dense_ffn(read_model_config(
      parse_toml("vocab_size = 10\nd_model = 6\nn_layers = 1\nn_heads = 2\nd_ff = 5\nffn_bias = true\n"
                 "activation = \"geglu_tanh\"",
                 "m.toml", "")));
  const auto b = testing::random_tensor({10}, 4), d = testing::random_tensor({6}, 5);
  EXPECT_TRUE(testing::same_bits(
      with_bias->forward(std::vector<at::Tensor>{params[0], b, params[1], d}, x, Pass(input, states, {}, at::kDouble))
          .out,
      ops::gated_ffn(x, {params[0], params[1], ops::Activation::geglu_tanh, b, d})));
  EXPECT_FALSE(result.decision.has_value());
  EXPECT_EQ(ffn->router(), nullptr);
  EXPECT_EQ(ffn->flops_per_token(100), 2.0 * 3 * 5 * 6);
}

// A gate of twice the width, and the network behind experts under its own name.
TEST(DenseFfn, HasTheWidthsAndTheNameOfItsForm) {
  const auto config = read_model_config(
      parse_toml("vocab_size = 10\nd_model = 6\nn_layers = 1\nn_heads = 2\nn_experts = 2\ntop_k = 1\nd_expert = 3\n"
                 "d_extra = 5\nactivation = \"swiglu_double\"",
                 "m.toml", ""));
  const auto ffn = extra_ffn(config);
  ASSERT_EQ(ffn->parameters().size(), 2U);
  EXPECT_EQ(ffn->parameters()[0].name, "extra.gate_up.weight");
  EXPECT_EQ(ffn->parameters()[0].shape, (std::vector<int64_t>{15, 6}));
  EXPECT_EQ(ffn->parameters()[1].name, "extra.down.weight");
  EXPECT_EQ(ffn->flops_per_token(100), 2.0 * 4 * 5 * 6);
  EXPECT_EQ(ffn->activations().kept, 15 + 3 * 5);  // silu of half of the gate, the activated gate, the product
}

}  // namespace
}  // namespace evenkeel::model
