#include <ATen/ops/linear.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "model/attention/attention.h"
#include "ops/attention.h"
#include "ops/norm.h"
#include "support/gradients.h"

namespace evenkeel::model {
namespace {

// Four heads of width 4, of which the first half is rotated, in two groups.
ModelConfig config_of(const std::string& more = "") {
  return read_model_config(
      parse_toml("vocab_size = 10\nd_model = 6\nn_layers = 2\nn_heads = 4\nn_kv_heads = 2\nhead_dim = "
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
  const Pass pass(input, kNoStates, {{*attention->rotation()}, {*attention->sight()}}, at::kDouble);
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
  const Pass pass(input, kNoStates, {{*attention->rotation()}, {*attention->sight()}}, at::kDouble);
  const ModelInput half{.tokens = at::zeros({1, 2}, at::kLong)};
  const Pass alone(half, kNoStates, {{*attention->rotation()}, {*attention->sight()}}, at::kDouble);
  const auto x = testing::random_tensor({1, 4, 6}, 2);
  testing::expect_close(attention->forward(params, x, pass).narrow(1, 2, 2),
                        attention->forward(params, x.narrow(1, 2, 2), alone), 1e-13, 1e-13, "second document");
}

// Biases, then the norm over the whole projection, then the clamp of queries, keys and values, then heads and rotation
// (the order of OLMoE's class), with a window in layer 1 alone.
TEST(GroupedAttention, TakesItsOptionsInOrder) {
  const auto config = config_of(
      "qk_norm = true\nattention = {qkv_bias = true, out_bias = true, clip = 0.4, scale = 0.3, sinks = true, "
      "window = 2, window_layers = \"every 2\"}");
  for (const int64_t layer : {0, 1}) {
    const auto attention = make_attention(config, layer);
    std::vector<std::string> names;
    for (const auto& spec : attention->parameters()) names.push_back(spec.name);
    ASSERT_EQ(names, (std::vector<std::string>{"attention.qkv.weight", "attention.qkv.bias", "attention.q_norm.weight",
                                               "attention.k_norm.weight", "attention.sinks", "attention.out.weight",
                                               "attention.out.bias"}));
    const auto params = tensors_of(*attention);
    const ModelInput input{.tokens = at::zeros({2, 4}, at::kLong)};
    const Pass pass(input, kNoStates, {{*attention->rotation()}, {*attention->sight()}}, at::kDouble);
    const auto x = testing::random_tensor({2, 4, 6}, 1);
    const auto qkv = at::linear(x, params[0], params[1]);
    const auto clipped = [](const at::Tensor& part) { return part.clamp(-0.4, 0.4); };
    const auto heads = [](const at::Tensor& part) { return part.reshape({2, 4, -1, 4}); };
    const auto rotated = [&](const at::Tensor& part) {
      return ops::apply_rotary(heads(part), pass.rotary(*attention->rotation()));
    };
    const auto q = clipped(ops::rms_norm(qkv.narrow(2, 0, 16), params[2], 1e-5)),
               k = clipped(ops::rms_norm(qkv.narrow(2, 16, 8), params[3], 1e-5)), v = clipped(qkv.narrow(2, 24, 8));
    const auto mask = ops::attention_mask({layer == 1 ? 2 : 0}, {}, 4, at::kDouble);
    const auto need = ops::causal_attention(rotated(q), rotated(k), heads(v), {mask, 0.3, params[4]});
    testing::expect_close(attention->forward(params, x, pass), at::linear(need, params[5], params[6]), 1e-13, 1e-13,
                          "layer " + std::to_string(layer));  // fp64 sums of 16
    EXPECT_EQ(attention->cache_floats(10), (layer == 1 ? 2 : 10) * 2 * 2 * 4);
  }
}

TEST(GroupedAttention, GradientsMatchFiniteDifferences) {
  for (const auto* more : {"qk_norm = false", "qk_norm = true", "qk_norm = \"per_head\"",
                           "attention = {qkv_bias = true, out_bias = true, clip = 10.0, sinks = true, window = 2}",
                           "rope_pairs = \"interleaved\"\nattention = {scale = 0.5}"}) {
    const auto attention = make_attention(config_of(more), 0);
    ModelInput input{.tokens = at::zeros({1, 3}, at::kLong)};
    const Pass pass(input, kNoStates, {{*attention->rotation()}, {*attention->sight()}}, at::kDouble);
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
