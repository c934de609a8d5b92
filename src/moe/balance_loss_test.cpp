#include "moe/balance_loss.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::moe {
namespace {

using testing::expect_close;
using ::testing::HasSubstr;

RoutingDecision decision_of(const at::Tensor& logits, int64_t top_k, const at::Tensor& is_padding = {}) {
  RoutingDecision out;
  out.n_tokens = logits.size(0);
  out.n_experts = logits.size(1);
  out.top_k = top_k;
  out.logits = logits;
  out.is_padding = is_padding;
  return out;
}
std::vector<RoutingDecision> decisions_of(const std::vector<at::Tensor>& layers, int64_t top_k) {
  std::vector<RoutingDecision> out;
  for (const auto& logits : layers) out.push_back(decision_of(logits, top_k));
  return out;
}
std::vector<at::Tensor> layers_of(const Json& json, at::ScalarType dtype) {
  std::vector<at::Tensor> out;
  for (const auto& layer : json.as_array()) out.push_back(testing::tensor_of(layer).to(dtype));
  return out;
}

TEST(BalanceLoss, IsOneALayerOrKWhenUniform) {
  const auto logits = at::zeros({6, 4}, at::kDouble);
  for (const int64_t k : {1, 2, 4}) {
    const auto decisions = decisions_of({logits, logits}, k);
    EXPECT_DOUBLE_EQ(switch_balance_loss(decisions).item<double>(), 2.0);
    EXPECT_DOUBLE_EQ(hf_balance_loss(decisions).item<double>(), static_cast<double>(k));
  }
}

TEST(BalanceLoss, IsEOverKWhenKExpertsTakeAll) {
  auto logits = at::zeros({5, 4}, at::kDouble);
  logits.narrow(1, 0, 2).fill_(100.0);
  EXPECT_NEAR(switch_balance_loss({decision_of(logits, 2)}).item<double>(), 2.0, 1e-12);
  EXPECT_NEAR(hf_balance_loss({decision_of(logits, 2)}).item<double>(), 4.0, 1e-12);
}

TEST(ZLoss, IsTheSquareOfLogEWhenLogitsAreZero) {
  const auto decisions = decisions_of({at::zeros({3, 4}, at::kDouble), at::zeros({3, 4}, at::kDouble)}, 1);
  const double one = std::log(4.0) * std::log(4.0);
  EXPECT_NEAR(z_loss(decisions, false).item<double>(), 2 * one, 1e-14);
  EXPECT_NEAR(z_loss(decisions, true).item<double>(), one, 1e-14);
}

TEST(BalanceLoss, MatchesThePublishedNumbers) {
  const auto golden = testing::read_golden("balance_losses_paper.json");
  const auto logits = testing::tensor_of(golden.inputs.at("logits"));
  for (const int64_t k : {1, 2}) {
    const auto& need = golden.outputs.at("k" + std::to_string(k));
    expect_close(switch_balance_loss({decision_of(logits, k)}).item<double>(), need.at("switch").as_double(), golden.rtol, golden.atol, "switch");
    expect_close(hf_balance_loss({decision_of(logits, k)}).item<double>(), need.at("hf").as_double(), golden.rtol, golden.atol, "hf");
  }
  expect_close(z_loss({decision_of(logits, 1)}, false).item<double>(), golden.outputs.at("z").as_double(), golden.rtol, golden.atol, "z");
}

void check_golden(at::ScalarType dtype, double rtol, double atol) {
  const auto golden = testing::read_golden("balance_losses.json");
  const int64_t k = golden.inputs.at("top_k").as_int();
  const auto layers = layers_of(golden.inputs.at("layers"), dtype);
  const auto check = [&](const std::string& name, const testing::ScalarFunction& loss) {
    const auto& need = golden.outputs.at("losses").at(name);
    const auto value = loss(layers);
    EXPECT_EQ(value.scalar_type(), dtype);
    expect_close(value.item<double>(), need.at("value").as_double(), rtol, atol, name);
    const auto gradients = testing::gradients_of(loss, layers);
    const auto wanted = layers_of(need.at("gradients"), at::kDouble);
    for (size_t i = 0; i < layers.size(); ++i) expect_close(gradients[i], wanted[i], rtol, atol, name + " gradient");
  };
  check("switch", [&](const auto& in) { return switch_balance_loss(decisions_of(in, k)); });
  check("hf", [&](const auto& in) { return hf_balance_loss(decisions_of(in, k)); });
  check("z", [&](const auto& in) { return z_loss(decisions_of(in, k), false); });
}

TEST(BalanceLoss, ValuesAndGradientsMatchTheGoldenFile) {
  const auto golden = testing::read_golden("balance_losses.json");
  check_golden(at::kFloat, golden.rtol, golden.atol);
  check_golden(at::kDouble, 1e-11, 1e-14);  // 12 digits are written
}

TEST(BalanceLoss, GradientsMatchFiniteDifferencesAlsoWithPadding) {
  // Logits a step of 1e-6 apart never change their order: the counts stay constant.
  auto is_padding = at::zeros({6}, at::kBool);
  is_padding[2] = true;
  for (const auto& padding : {at::Tensor(), is_padding}) {
    const auto with = [&](const std::vector<at::Tensor>& in) {
      return std::vector<RoutingDecision>{decision_of(in[0], 2, padding), decision_of(in[1], 2, padding)};
    };
    const std::vector<at::Tensor> layers = {testing::random_tensor({6, 5}, 1), testing::random_tensor({6, 5}, 2)};
    for (const auto& kind : balance_loss_kinds())
      testing::expect_gradients([&](const auto& in) { return kind.compute(with(in)); }, layers);
    testing::expect_gradients([&](const auto& in) { return z_loss(with(in), true); }, layers);
  }
}

TEST(BalanceLoss, DoesNotCountPadding) {
  const auto logits = testing::random_tensor({8, 4}, 3);
  auto is_padding = at::zeros({8}, at::kBool);
  is_padding.narrow(0, 5, 3).fill_(true);
  const std::vector<RoutingDecision> padded = {decision_of(logits, 2, is_padding)}, cut = {decision_of(logits.narrow(0, 0, 5), 2)};
  for (const auto& kind : balance_loss_kinds())  // sums of 5 terms in another order
    EXPECT_NEAR(kind.compute(padded).item<double>(), kind.compute(cut).item<double>(), 1e-14) << kind.name;
  EXPECT_NEAR(z_loss(padded, false).item<double>(), z_loss(cut, false).item<double>(), 1e-14);
}

TEST(BalanceLoss, IsZeroWithoutTokensOrLayers) {
  const auto all_padding = decision_of(at::zeros({2, 4}), 1, at::zeros({2}, at::kBool).logical_not());
  for (const auto& kind : balance_loss_kinds()) {
    EXPECT_EQ(kind.compute({}).item<double>(), 0.0);
    EXPECT_EQ(kind.compute({decision_of(at::zeros({0, 4}), 1)}).item<double>(), 0.0) << kind.name;
    EXPECT_EQ(kind.compute({all_padding}).item<double>(), 0.0) << kind.name;
  }
  EXPECT_EQ(z_loss({}, true).item<double>(), 0.0);
  EXPECT_EQ(z_loss({all_padding}, false).item<double>(), 0.0);
}

TEST(BalanceLoss, StaysFiniteAtLogitsOfTenThousand) {
  const auto logits = testing::random_tensor({6, 4}, 4).sign().to(at::kFloat) * 1e4;
  for (const auto& kind : balance_loss_kinds()) {
    const auto gradient = testing::gradients_of([&](const auto& in) { return kind.compute({decision_of(in[0], 1)}); }, {logits})[0];
    EXPECT_TRUE(std::isfinite(gradient.sum().item<double>())) << kind.name;
  }
  EXPECT_NEAR(z_loss({decision_of(at::zeros({2, 4}) + 1e4, 1)}, false).item<double>(), 1e8, 1e5);  // (1e4 + log 4)^2
}

BalanceConfig read(const std::string& toml) {
  BalanceConfig config;
  read_value(parse_toml(toml, "b", ""), "model.balance", config);
  return config;
}

TEST(BalanceConfig, TakesOneLossOrAList) {
  const auto one = read("loss = \"hf\"\ncoefficient = 0.5\nz_coefficient = 0.25\nz_reduce = \"mean\"");
  ASSERT_EQ(one.terms.size(), 1u);
  EXPECT_EQ(one.terms[0].loss, "hf");
  EXPECT_EQ(one.terms[0].coefficient, 0.5);
  EXPECT_EQ(one.z_coefficient, 0.25);
  EXPECT_EQ(one.z_reduce, "mean");
  const auto two = read("loss = [{loss = \"switch\", coefficient = 0.1}, {loss = \"hf\", coefficient = 0.2}]");
  ASSERT_EQ(two.terms.size(), 2u);
  EXPECT_EQ(two.terms[1].coefficient, 0.2);
  EXPECT_TRUE(read("").terms.empty());
  EXPECT_TRUE(read("z_coefficient = 0.1").terms.empty());
}

TEST(BalanceConfig, ReadsWhatItWrites) {
  const auto config = read("loss = [{loss = \"switch\", coefficient = 0.1}]\nz_coefficient = 0.2");
  const Json json = to_json(config);
  EXPECT_EQ(json.dump(), R"({"loss":[{"loss":"switch","coefficient":0.1}],"z_coefficient":0.2,"z_reduce":"sum"})");
}

TEST(BalanceConfig, RefusesWhatItDoesNotKnow) {
  const auto message_for = [](const std::string& toml) { return testing::message_of<ConfigError>([&] { read(toml); }); };
  EXPECT_THAT(message_for("loss = \"magic\""), HasSubstr("got model.balance.loss = 'magic'; need one of: switch, megatron, hf"));
  EXPECT_THAT(message_for("loss = \"hf\"\ncoefficient = -1.0"), HasSubstr("need at least 0"));
  EXPECT_THAT(message_for("coefficient = 0.1"), HasSubstr("need the name of the loss"));
  EXPECT_THAT(message_for("loss = [{loss = \"hf\", coefficient = 0.1}]\ncoefficient = 0.1"), HasSubstr("beside a list"));
  EXPECT_THAT(message_for("z_reduce = \"max\""), HasSubstr("need sum or mean"));
  EXPECT_THAT(message_for("z_coefficient = -0.1"), HasSubstr("need at least 0"));
  EXPECT_THAT(message_for("lossy = 1"), HasSubstr("did you mean 'loss'"));
}

}  // namespace
}  // namespace evenkeel::moe
