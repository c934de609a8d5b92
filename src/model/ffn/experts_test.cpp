#include <ATen/ops/allclose.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "model/ffn/ffn.h"
#include "moe/moe_layer.h"
#include "support/gradients.h"

namespace evenkeel::model {
namespace {

// Layers 1 and 3 of four have experts.
ModelConfig config_of(const std::string& more = "") {
  return read_model_config(
      parse_toml("vocab_size = 10\nd_model = 6\nn_layers = 4\nn_heads = 2\nd_ff = 5\nn_experts = 4\ntop_k = "
                 "2\nd_expert = 3\nmoe_layers = \"every 2\"\n" +
                     more,
                 "m.toml", ""));
}
std::vector<at::Tensor> tensors_of(const Ffn& ffn) {
  std::vector<at::Tensor> out;
  for (const auto& spec : ffn.parameters()) out.push_back(testing::random_tensor(spec.shape, 10 + out.size(), 0.5));
  return out;
}

TEST(ExpertsFfn, IsTheMoeLayerOfItsTensors) {
  const auto ffn = experts_ffn(config_of("n_shared_experts = 2\nactivation = \"geglu\""), 3);
  const auto params = tensors_of(*ffn);
  ModelInput input{.tokens = testing::random_ids(4, 10, 1).view({2, 2})};
  const std::vector<ops::Params> states(2);
  const auto x = testing::random_tensor({4, 6}, 2);
  const auto result = ffn->forward(params, x, Pass(input, states, {}, at::kDouble));
  moe::RouterInput routed;
  routed.hidden = x;
  routed.weight = params[0];
  const auto need =
      moe::moe_layer(*ffn->router(), routed, {{params[1], params[2], ops::Activation::geglu}, params[3], params[4]});
  EXPECT_TRUE(testing::same_bits(result.out, need.out));
  ASSERT_TRUE(result.decision.has_value());
  EXPECT_EQ(result.decision->layer, 3);
  EXPECT_EQ(result.decision->n_sequences, 2);
  EXPECT_EQ(ffn->flops_per_token(100),
            2.0 * (4 * 6 + 2 * 3 * 3 * 6 + 3 * 2 * 3 * 6));  // router, two experts, the shared ones
}

// Layers 1 and 3 are the first and second place among those with experts.
TEST(ExpertsFfn, TakesTheStateOfItsPlace) {
  const auto config = config_of("router = {kind = \"loss_free\"}");
  const auto first = experts_ffn(config, 1), second = experts_ffn(config, 3);
  std::vector<ops::Params> states;
  for (const auto* ffn : {first.get(), second.get()}) states.push_back(ffn->router()->initial_state({}));
  const auto bias = states[1].begin()->second;
  bias[2] = 100.0;  // of the second place alone
  const ModelInput input{.tokens = at::zeros({1, 3}, at::kLong)};
  const Pass pass(input, states, {}, at::kDouble);
  const auto x = testing::random_tensor({3, 6}, 3);
  const auto takes_two = [&](const Ffn& ffn) {
    return ffn.forward(tensors_of(ffn), x, pass).decision->expert_ids.eq(2).sum().item<int64_t>();
  };
  EXPECT_EQ(takes_two(*second), 3);
  EXPECT_LT(takes_two(*first), 3);
}

TEST(ExpertsFfn, TakesThePlanOfItsPlace) {
  const auto config = config_of("router = {kind = \"sinkhorn\", scope = \"step\"}\nbalance = {loss = []}");
  ModelInput input{.tokens = at::zeros({1, 3}, at::kLong)};
  input.step_plans = {at::tensor({100.0, 0.0, 0.0, 0.0}),
                      at::tensor({0.0, 0.0, 0.0, 100.0})};  // biases of the four experts
  const Pass pass(input, std::vector<ops::Params>(2), {}, at::kDouble);
  const auto x = testing::random_tensor({3, 6}, 3);
  for (const auto& [layer, favourite] : std::map<int64_t, int64_t>{{1, 0}, {3, 3}}) {
    const auto ffn = experts_ffn(config, layer);
    EXPECT_EQ(ffn->forward(tensors_of(*ffn), x, pass).decision->expert_ids.eq(favourite).sum().item<int64_t>(), 3)
        << layer;
  }
}

// A random router draws from the seed of the pass and its own layer.
TEST(ExpertsFfn, DrawsByItsLayer) {
  const auto config = config_of("router = {kind = \"random\"}\nbalance = {loss = []}");
  ModelInput input{.tokens = at::zeros({1, 32}, at::kLong)};
  input.seed = 5;
  const Pass pass(input, std::vector<ops::Params>(2), {}, at::kDouble);
  const auto x = testing::random_tensor({32, 6}, 3);
  const auto drawn = [&](int64_t layer) {
    const auto ffn = experts_ffn(config, layer);
    return ffn->forward(tensors_of(*ffn), x, pass).decision->expert_ids;
  };
  EXPECT_TRUE(testing::same_bits(drawn(1), drawn(1)));
  EXPECT_FALSE(testing::same_bits(drawn(1), drawn(3)));
}

// gpt-oss: biases of the experts and of the router, a clamped activation with its own numbers.
TEST(ExpertsFfn, HasBiasesWhereTheModelSaysSo) {
  const auto ffn = experts_ffn(config_of("expert_bias = true\nrouter_bias = true\nactivation = \"swiglu_clamped\"\n"
                                         "activation_alpha = 1.3\nactivation_limit = 0.5"),
                               1);
  std::vector<std::string> names;
  for (const auto& spec : ffn->parameters()) names.push_back(spec.name);
  EXPECT_EQ(names, (std::vector<std::string>{"router.weight", "router.bias", "experts.gate_up", "experts.gate_up_bias",
                                             "experts.down", "experts.down_bias"}));
  const auto params = tensors_of(*ffn);
  const ModelInput input{.tokens = at::zeros({2, 2}, at::kLong)};
  const std::vector<ops::Params> states(2);
  const auto x = testing::random_tensor({4, 6}, 2);
  const auto result = ffn->forward(params, x, Pass(input, states, {}, at::kDouble));
  moe::RouterInput routed;
  routed.hidden = x;
  routed.weight = params[0];
  routed.bias = params[1];
  moe::ExpertWeights weights{
      {params[2], params[4], {ops::Activation::swiglu_clamped, 1.3, 0.5}, params[3], params[5]}, {}, {}, {}};
  EXPECT_TRUE(testing::same_bits(result.out, moe::moe_layer(*ffn->router(), routed, weights).out));
  EXPECT_TRUE(at::allclose(result.decision->logits, x.matmul(params[0].t()) + params[1], 1e-12, 1e-12));
  const auto c = testing::random_tensor({4, 6}, 3);
  testing::expect_gradients(
      [&](const auto& in) { return (ffn->forward(in, x, Pass(input, states, {}, at::kDouble)).out * c).sum(); },
      params);
}

TEST(ExpertsFfn, HasNoMatrixWhereItsRouterHasNone) {
  const auto ffn = experts_ffn(config_of("router = {kind = \"uniform\"}\nbalance = {loss = []}"), 1);
  EXPECT_EQ(ffn->parameters().front().name, "experts.gate_up");
  const ModelInput input{.tokens = at::zeros({1, 3}, at::kLong)};
  const std::vector<ops::Params> states(2);
  EXPECT_EQ(ffn->forward(tensors_of(*ffn), testing::random_tensor({3, 6}, 3), Pass(input, states, {}, at::kDouble))
                .out.size(0),
            3);
}

}  // namespace
}  // namespace evenkeel::model
