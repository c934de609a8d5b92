#include <ATen/ops/eye.h>
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

// The identity as hidden makes the logits the transposed weight: logits can be given directly.
RouterInput with_logits(const at::Tensor& logits) {
  RouterInput input;
  input.hidden = logits;
  input.weight = at::eye(logits.size(1), logits.options());
  return input;
}

std::string toml_of(const Json& golden_case) {
  const std::string renormalize = golden_case.at("renormalize").as_bool() ? "true" : "false";
  if (golden_case.at("kind").as_string() == "sinkhorn") return "kind = \"sinkhorn\"\nrenormalize = " + renormalize;
  return "score = \"" + golden_case.at("score").as_string() + "\"\nrenormalize = " + renormalize;
}

// Golden weights and gradients of all scores, of both kinds of router, in the width of the logits.
void check_golden_weights(at::ScalarType dtype, double rtol, double atol) {
  const auto golden = testing::read_golden("router_weights.json");
  const auto logits = testing::tensor_of(golden.inputs.at("logits")).to(dtype);
  for (const auto& golden_case : golden.inputs.at("cases").as_array()) {
    const std::string name = golden_case.at("name").as_string();
    const auto& need = golden.outputs.at(name);
    const int64_t k = golden_case.at("top_k").as_int();
    const auto router = make_router({logits.size(1), k}, parse_toml(toml_of(golden_case), name, ""));
    const auto leaf = logits.detach().clone().requires_grad_(true);
    const auto decision = router->route(with_logits(leaf));
    EXPECT_EQ(decision.weights.scalar_type(), dtype);
    EXPECT_TRUE(testing::same_bits(decision.expert_ids.view({-1, k}), testing::ids_of(need.at("expert_ids")))) << name;
    testing::expect_close(decision.weights.view({-1, k}), testing::tensor_of(need.at("weights")), rtol, atol, name);
    const auto coefficients = testing::tensor_of(golden_case.at("coefficients")).to(dtype);
    const auto gradient = torch::autograd::grad({(decision.weights.view({-1, k}) * coefficients).sum()}, {leaf})[0];
    testing::expect_close(gradient, testing::tensor_of(need.at("gradient")), rtol, atol, name + " gradient");
  }
}

TEST(TopKRouter, WeightsAndGradientsMatchTheGoldenFile) {
  const auto golden = testing::read_golden("router_weights.json");
  check_golden_weights(at::kFloat, golden.rtol, golden.atol);
  check_golden_weights(at::kDouble, 1e-11, 1e-14);  // 12 digits are written
}

TEST(TopKRouter, SelectsTheLargestLogits) {
  const auto router = make_router({3, 2}, config_table("r"));
  const auto decision = router->route(with_logits(at::tensor({0.0, 1.0, 1.0, 2.0, -1.0, 0.0}).view({2, 3})));
  EXPECT_TRUE(testing::same_bits(decision.expert_ids, at::tensor({1, 2, 0, 2}).to(at::kLong)));
}

TEST(TopKRouter, KeepsTheRawScoreAtKOne) {
  const auto router = make_router({2, 1}, parse_toml("renormalize = true", "r", ""));
  EXPECT_DOUBLE_EQ(router->route(with_logits(at::zeros({1, 2}, at::kDouble))).weights.item<double>(), 0.5);
}

TEST(TopKRouter, RefusesWhatCutsTheRouterFromTheLoss) {
  const auto post = parse_toml("score = \"softmax_post\"", "recipe.toml", "");
  const auto message = testing::message_of<ConfigError>([&] { make_router({4, 1}, post); });
  EXPECT_THAT(message, HasSubstr("recipe.toml:1:1"));
  EXPECT_THAT(message, HasSubstr("softmax_post"));
  EXPECT_NO_THROW(make_router({1, 1}, post));
  EXPECT_NO_THROW(make_router({4, 2}, post));
}

TEST(TopKRouter, RefusesAnUnknownScore) {
  const auto message = testing::message_of<ConfigError>([] {
    make_router({4, 1}, parse_toml("\nscore = \"tanh\"", "a.toml", ""));
  });
  EXPECT_THAT(message, HasSubstr("a.toml:2:1"));
  EXPECT_THAT(message, HasSubstr("need one of: softmax_pre, softmax_post, sigmoid, sqrtsoftplus"));
}

}  // namespace
}  // namespace evenkeel::moe
