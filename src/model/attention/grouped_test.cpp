#include <ATen/ops/linear.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "model/attention/attention.h"
#include "ops/attention.h"
#include "support/gradients.h"

namespace evenkeel::model {
namespace {

// Four heads of width 4, of which the first half is rotated, in two groups.
ModelConfig config_of(const std::string& more = "") {
  return read_model_config(
      parse_toml("vocab_size = 10\nd_model = 6\nn_layers = 1\nn_heads = 4\nn_kv_heads = 2\nhead_dim = "
                 "4\nrotary_fraction = 0.5\nd_ff = 5\n" +
                     more,
                 "m.toml", ""));
}

std::vector<at::Tensor> tensors_of(const Attention& attention) {
  std::vector<at::Tensor> out;
  for (const auto& spec : attention.parameters())
    out.push_back(testing::random_tensor(spec.shape, 10 + out.size(), 0.5));
  return out;
}

const std::vector<ops::Params> kNoStates;

// Its parameters are tested in layout_test, its activations in train/memory_test.
TEST(GroupedAttention, SaysWhatItCosts) {
  const auto attention = make_attention(config_of(), 0);
  EXPECT_EQ(attention->cache_floats(10), 10 * 2 * 2 * 4);  // keys and values of two groups
  EXPECT_EQ(attention->flops_per_token(10),
            2.0 * ((16 + 16) * 6 + 6 * 16) + 2.0 * 2 * (10.0 / 2) * 16);  // scores and values, half of them seen
  EXPECT_EQ(*attention->rotation(), (ops::Rotation{2, 1e4}));
}

// Without rotation (position 0 alone sees itself) the value passes to the output.
TEST(GroupedAttention, GivesTheFirstPositionItsValue) {
  const auto attention = make_attention(config_of(), 0);
  const auto params = tensors_of(*attention);
  const ModelInput input{.tokens = at::zeros({2, 3}, at::kLong)};
  const Pass pass(input, kNoStates, {*attention->rotation()}, at::kDouble);
  const auto x = testing::random_tensor({2, 3, 6}, 1);
  const auto first =
      at::linear(x.select(1, 0), params[0]).narrow(1, 24, 8).view({2, 2, 4}).repeat_interleave(2, 1).reshape({2, 16});
  testing::expect_close(attention->forward(params, x, pass).select(1, 0), at::linear(first, params[1]), 1e-13, 1e-13,
                        "position 0");  // fp64 sums of 16
}

TEST(GroupedAttention, KeepsDocumentsApartByTheMaskOfThePass) {
  const auto attention = make_attention(config_of("qk_norm = true"), 0);
  const auto params = tensors_of(*attention);
  ModelInput input{.tokens = at::zeros({1, 4}, at::kLong)};
  input.document_ids = at::tensor({0, 0, 1, 1}, at::kInt).view({1, 4});
  const Pass pass(input, kNoStates, {*attention->rotation()}, at::kDouble);
  const ModelInput half{.tokens = at::zeros({1, 2}, at::kLong)};
  const Pass alone(half, kNoStates, {*attention->rotation()}, at::kDouble);
  const auto x = testing::random_tensor({1, 4, 6}, 2);
  testing::expect_close(attention->forward(params, x, pass).narrow(1, 2, 2),
                        attention->forward(params, x.narrow(1, 2, 2), alone), 1e-13, 1e-13, "second document");
}

TEST(GroupedAttention, GradientsMatchFiniteDifferences) {
  for (const auto* norm : {"false", "true", "\"per_head\""}) {
    const auto attention = make_attention(config_of(std::string("qk_norm = ") + norm), 0);
    ModelInput input{.tokens = at::zeros({1, 3}, at::kLong)};
    const Pass pass(input, kNoStates, {*attention->rotation()}, at::kDouble);
    const auto c = testing::random_tensor({1, 3, 6}, 3);
    auto inputs = tensors_of(*attention);
    inputs.push_back(testing::random_tensor({1, 3, 6}, 4));
    testing::expect_gradients(
        [&](const auto& in) {
          return (attention->forward(PartTensors(in).first(in.size() - 1), in.back(), pass) * c).sum();
        },
        inputs);
  }
}

}  // namespace
}  // namespace evenkeel::model
