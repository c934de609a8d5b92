#include "model/block.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "ops/norm.h"
#include "support/gradients.h"

namespace evenkeel::model {
namespace {

ModelConfig config_of(const std::string& more = "") {
  return read_model_config(
      parse_toml("vocab_size = 10\nd_model = 6\nn_layers = 2\nn_heads = 2\nhead_dim = 4\nd_ff = 5\nn_experts = "
                 "4\ntop_k = 2\nd_expert = 3\nmoe_layers = [1]\n" +
                     more,
                 "m.toml", ""));
}
std::vector<at::Tensor> tensors_of(const LayerSpec& spec) {
  std::vector<at::Tensor> out;
  for (const auto& parameter : spec.parameters)
    out.push_back(testing::random_tensor(parameter.shape, 10 + out.size(), 0.5));
  return out;
}

TEST(LayerSpec, ListsItsPartsInTheOrderOfThePass) {
  std::vector<std::string> names;
  for (const auto& parameter : layer_spec(config_of(), 0).parameters) names.push_back(parameter.name);
  EXPECT_EQ(names, (std::vector<std::string>{"attention_norm.weight", "attention.qkv.weight", "attention.out.weight",
                                             "ffn_norm.weight", "ffn.gate_up.weight", "ffn.down.weight"}));
  EXPECT_EQ(layer_spec(config_of(), 1).parameters[4].name, "router.weight");
}

TEST(Block, AddsAttentionAndThenTheFeedForwardNetworkToTheStream) {
  const ModelInput input{.tokens = at::zeros({2, 3}, at::kLong)};
  const std::vector<ops::Params> states(1);
  for (int64_t layer = 0; layer < 2; ++layer) {
    const auto spec = layer_spec(config_of(), layer);
    const auto params = tensors_of(spec);
    const Pass pass(input, states, {{*spec.attention->rotation()}, {*spec.attention->sight()}}, at::kDouble);
    const auto stream = testing::random_tensor({2, 3, 6}, 1);
    const auto attended = stream + spec.attention->forward(PartTensors(params).subspan(1, 2),
                                                           ops::rms_norm(stream, params[0], 1e-5), pass);
    const auto ffn =
        spec.ffn->forward(PartTensors(params).subspan(4), ops::rms_norm(attended, params[3], 1e-5).view({6, 6}), pass);
    const auto result = block_forward(spec, params, stream, pass);
    EXPECT_TRUE(testing::same_bits(result.stream, attended + ffn.out.view({2, 3, 6})));
    EXPECT_EQ(result.decision.has_value(), layer == 1);
    EXPECT_TRUE(
        testing::same_bits(block_forward(spec, params, stream, pass).stream, result.stream));  // once more: the same
    const auto c = testing::random_tensor({2, 3, 6}, 2);
    testing::expect_gradients(
        [&](const auto& in) { return (block_forward(spec, params, in[0], pass).stream * c).sum(); }, {stream});
  }
}

// The norm on what a branch gives (OLMo 2), and a factor on what it adds (Granite).
TEST(Block, PutsTheNormAfterABranchAndMultipliesWhatItAdds) {
  const ModelInput input{.tokens = at::zeros({2, 3}, at::kLong)};
  const auto spec = layer_spec(config_of("norm_placement = \"after\"\nresidual_multiplier = 0.25"), 0);
  const auto params = tensors_of(spec);
  const Pass pass(input, {}, {{*spec.attention->rotation()}, {*spec.attention->sight()}}, at::kDouble);
  const auto stream = testing::random_tensor({2, 3, 6}, 1);
  const auto attended =
      stream +
      0.25 * ops::rms_norm(spec.attention->forward(PartTensors(params).subspan(1, 2), stream, pass), params[0], 1e-5);
  const auto ffn = spec.ffn->forward(PartTensors(params).subspan(4), attended.view({6, 6}), pass).out.view({2, 3, 6});
  EXPECT_TRUE(testing::same_bits(block_forward(spec, params, stream, pass).stream,
                                 attended + 0.25 * ops::rms_norm(ffn, params[3], 1e-5)));
  auto inputs = params;
  inputs.push_back(stream);
  const auto c = testing::random_tensor({2, 3, 6}, 2);
  testing::expect_gradients(
      [&](const auto& in) {
        return (block_forward(spec, PartTensors(in).first(in.size() - 1), in.back(), pass).stream * c).sum();
      },
      inputs);
}

// What a recomputation does: the layer again, from its input, when the model's own pass is over.
TEST(Block, IsTheSameWhenItIsComputedAgainLater) {
  const auto spec = layer_spec(config_of(), 1);
  const auto params = tensors_of(spec);
  const auto stream = testing::random_tensor({1, 4, 6}, 5);
  const auto pass = [&] {
    ModelInput input{.tokens = at::zeros({1, 4}, at::kLong)};
    return Pass(input, std::vector<ops::Params>(1), {{*spec.attention->rotation()}, {*spec.attention->sight()}},
                at::kDouble);
  }();
  EXPECT_TRUE(testing::same_bits(block_forward(spec, params, stream, pass).stream,
                                 block_forward(spec, params, stream, pass).stream));
}

// OpenMoE: behind the experts a further network with a norm of its own; layers without experts have none.
TEST(Block, PutsAFurtherNetworkBehindTheExperts) {
  const auto config = config_of("d_extra = 7");
  EXPECT_EQ(layer_spec(config, 0).extra, nullptr);
  const auto spec = layer_spec(config, 1);
  const auto& last = spec.parameters;
  EXPECT_EQ(last.at(last.size() - 3).name, "extra_norm.weight");
  EXPECT_EQ(last.at(last.size() - 2).shape, (std::vector<int64_t>{14, 6}));
  const auto params = tensors_of(spec);
  const ModelInput input{.tokens = at::zeros({2, 3}, at::kLong)};
  const std::vector<ops::Params> states(1);
  const Pass pass(input, states, {{*spec.attention->rotation()}, {*spec.attention->sight()}}, at::kDouble);
  const auto stream = testing::random_tensor({2, 3, 6}, 1);
  const auto plain =
      block_forward(layer_spec(config_of(), 1), PartTensors(params).first(params.size() - 3), stream, pass);
  const auto result = block_forward(spec, params, stream, pass);
  const auto normed = ops::rms_norm(plain.stream, params[params.size() - 3], 1e-5).view({6, 6});
  const auto extra = spec.extra->forward(PartTensors(params).last(2), normed, pass).out.view({2, 3, 6});
  EXPECT_TRUE(testing::same_bits(result.stream, plain.stream + extra));
  EXPECT_TRUE(result.decision.has_value());
  const auto c = testing::random_tensor({2, 3, 6}, 2);
  testing::expect_gradients([&](const auto& in) { return (block_forward(spec, params, in[0], pass).stream * c).sum(); },
                            {stream});
}

}  // namespace
}  // namespace evenkeel::model
