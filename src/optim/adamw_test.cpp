#include "optim/adamw.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "optim/gradient_norm.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::optim {
namespace {

using ::testing::HasSubstr;
using testing::random_tensor;
using testing::same_bits;

ops::Params some_params() {
  ops::Params params;
  params.add("layers.0.ffn.down.weight", random_tensor({3, 4}, 1));
  params.add("layers.0.ffn_norm.weight", random_tensor({4}, 2));
  params.add("head.weight", random_tensor({2, 4}, 3));
  return params;
}
const RateFactors kHeadFrozen{{1, 1, 0}}, kHeadSlow{{1, 1, 0.25}};
ops::Params copy_of(const ops::Params& params) {
  ops::Params out;
  for (const auto& [name, tensor] : params) out.add(name, tensor.clone());
  return out;
}
std::vector<at::Tensor> some_gradients(uint64_t seed) {
  return {random_tensor({3, 4}, seed), random_tensor({4}, seed + 1), random_tensor({2, 4}, seed + 2)};
}

// arXiv 1711.05101, algorithm 2: decay first, then the bias-corrected step.
struct Reference {
  at::Tensor value, first, second;
  void step(const at::Tensor& g, int64_t n, double rate, double decay, const OptimizerConfig& c) {
    first = c.betas[0] * first + (1 - c.betas[0]) * g;
    second = c.betas[1] * second + (1 - c.betas[1]) * g * g;
    const auto m = first / (1 - std::pow(c.betas[0], static_cast<double>(n)));
    const auto v = second / (1 - std::pow(c.betas[1], static_cast<double>(n)));
    value = value * (1 - rate * decay) - rate * m / (v.sqrt() + c.eps);
  }
};

TEST(AdamW, FirstUpdateIsTheSignOfTheGradient) {
  ops::Params params;
  params.add("bias", at::tensor({1.0, 1.0, 1.0}));
  auto state = initial_adam_state(params);
  adamw_update({{}, 0.1, {}}, params, {at::tensor({3.0, -0.5, 0.0})}, state);
  // m / sqrt(v) = sign(g) up to eps; one dimension does not decay
  testing::expect_close(params.at("bias"), at::tensor({0.9, 1.1, 1.0}), 0, 1e-6, "bias");
  EXPECT_EQ(state.updates, (std::vector<int64_t>{1}));
}

TEST(AdamW, FollowsTheFormulaForAllTensors) {
  for (const Decay decay : {Decay::matrices, Decay::all}) {
    OptimizerConfig config;
    config.decay = decay;
    const auto params = some_params();
    std::vector<Reference> need;
    for (const auto& [name, tensor] : params)
      need.push_back({tensor.clone(), at::zeros_like(tensor), at::zeros_like(tensor)});
    auto state = initial_adam_state(params);
    for (int64_t n = 1; n <= 5; ++n) {
      const auto gradients = some_gradients(static_cast<uint64_t>(10 * n));
      const double rate = 0.01 * static_cast<double>(n);
      adamw_update({config, rate, {}}, params, gradients, state);
      for (size_t i = 0; i < need.size(); ++i)
        need[i].step(gradients[i], n, rate, decay == Decay::all || i != 1 ? config.weight_decay : 0.0, config);
    }
    size_t i = 0;
    for (const auto& [name, tensor] : params) {
      testing::expect_close(tensor, need[i].value, 1e-12, 1e-13, name);  // fp64, five steps
      testing::expect_close(state.first.at(name), need[i].first, 1e-12, 1e-14, name);
      testing::expect_close(state.second.at(name), need[i++].second, 1e-12, 1e-14, name);
    }
  }
}

TEST(AdamW, FrozenParametersKeepEverything) {
  const auto params = some_params(), before = copy_of(params);
  auto state = initial_adam_state(params);
  adamw_update({{}, 0.1, kHeadFrozen}, params, some_gradients(1), state);
  EXPECT_TRUE(same_bits(params.at("head.weight"), before.at("head.weight")));
  EXPECT_EQ(state.first.at("head.weight").abs().max().item<double>(), 0.0);
  EXPECT_EQ(state.updates.at(2), 0);
  EXPECT_FALSE(same_bits(params.at("layers.0.ffn_norm.weight"), before.at("layers.0.ffn_norm.weight")));
  // Thawed later, its bias correction starts at its own first update.
  ops::Params fresh;
  fresh.add("head.weight", before.at("head.weight").clone());
  auto fresh_state = initial_adam_state(fresh);
  const auto gradients = some_gradients(5);
  adamw_update({{}, 0.1, {}}, params, gradients, state);
  adamw_update({{}, 0.1, {}}, fresh, {gradients[2]}, fresh_state);
  EXPECT_TRUE(same_bits(params.at("head.weight"), fresh.at("head.weight")));
}

TEST(AdamW, SlowParametersTakeAFractionOfTheRate) {
  const auto slow = some_params(), plain = some_params();
  auto slow_state = initial_adam_state(slow), plain_state = initial_adam_state(plain);
  const auto gradients = some_gradients(7);
  adamw_update({{}, 0.1, kHeadSlow}, slow, gradients, slow_state);
  adamw_update({{}, 0.025, {}}, plain, gradients, plain_state);
  EXPECT_TRUE(same_bits(slow.at("head.weight"), plain.at("head.weight")));  // decay follows the rate too
  EXPECT_FALSE(same_bits(slow.at("layers.0.ffn_norm.weight"), plain.at("layers.0.ffn_norm.weight")));
}

TEST(AdamW, AParameterWithoutGradientStays) {
  const auto params = some_params(), before = copy_of(params);
  auto state = initial_adam_state(params);
  adamw_update({{}, 0.1, {}}, params, {at::Tensor(), at::ones({4}, at::kDouble), at::Tensor()}, state);
  EXPECT_TRUE(same_bits(params.at("head.weight"), before.at("head.weight")));
  EXPECT_EQ(state.updates.at(2), 0);
  EXPECT_EQ(state.updates.at(1), 1);
}

TEST(AdamW, UpdatesLeavesThatRequireGradientInPlace) {
  ops::Params params;
  params.add("w", at::ones({2, 2}).requires_grad_(true));
  auto state = initial_adam_state(params);
  EXPECT_FALSE(state.first.at("w").requires_grad());
  const void* data = params.at("w").const_data_ptr();
  adamw_update({{}, 0.1, {}}, params, {at::ones({2, 2})}, state);
  EXPECT_EQ(params.at("w").const_data_ptr(), data);
  EXPECT_TRUE(params.at("w").requires_grad());
  EXPECT_LT(params.at("w").max().item<float>(), 1.0f);
}

TEST(GradientNorm, IsTheRootOfAllSquares) {
  EXPECT_DOUBLE_EQ(gradient_norm({at::tensor({3.0}), at::Tensor(), at::tensor({0.0, 4.0})}), 5.0);
  EXPECT_EQ(gradient_norm({}), 0.0);
  EXPECT_EQ(gradient_norm({at::Tensor()}), 0.0);
  EXPECT_TRUE(std::isnan(gradient_norm({at::tensor({std::nan("")})})));
}

TEST(ClipGradients, ScalesOnlyAboveTheNorm) {
  auto gradients = std::vector<at::Tensor>{at::tensor({3.0, 4.0}), at::Tensor()};
  clip_gradients(gradients, 5.0, 10.0);
  EXPECT_TRUE(same_bits(gradients[0], at::tensor({3.0, 4.0})));
  clip_gradients(gradients, 5.0, 0.0);  // 0 = no clipping
  EXPECT_TRUE(same_bits(gradients[0], at::tensor({3.0, 4.0})));
  clip_gradients(gradients, 5.0, 1.0);
  const double scale = 1.0 / (5.0 + 1e-6);
  testing::expect_close(gradients[0], at::tensor({3.0 * scale, 4.0 * scale}, at::kDouble), 1e-6, 0,
                        "clipped");  // at::tensor may be fp32
}

// Rows of one rate are what a parameter of their own would be.
TEST(AdamW, LeavesFrozenRowsAndTheirMomentsToTheBit) {
  RateFactors factors{{1, 1, 1}};
  factors.rows[0] = {{0, 1, 0}, {1, 3, 1}};
  const auto params = some_params();
  auto state = initial_adam_state(params);
  adamw_update({{}, 0.1, {}}, params, some_gradients(1), state);  // moments that are not 0
  const auto before = copy_of(params), first = copy_of(state.first), second = copy_of(state.second);
  ops::Params learning;
  learning.add("rest", params.tensor(0).narrow(0, 1, 2).clone());
  AdamState apart;
  apart.first.add("rest", first.tensor(0).narrow(0, 1, 2).clone());
  apart.second.add("rest", second.tensor(0).narrow(0, 1, 2).clone());
  apart.updates = {1};
  for (uint64_t step = 2; step < 5; ++step) {
    const auto gradients = some_gradients(10 * step);
    adamw_update({{}, 0.1, factors}, params, gradients, state);
    adamw_update({{}, 0.1, {}}, learning, {gradients[0].narrow(0, 1, 2).clone()}, apart);
  }
  for (const auto& [now, was] : {std::pair(&params, &before), {&state.first, &first}, {&state.second, &second}}) {
    EXPECT_TRUE(same_bits(now->tensor(0).narrow(0, 0, 1), was->tensor(0).narrow(0, 0, 1)));
    EXPECT_FALSE(same_bits(now->tensor(2), was->tensor(2)));
  }
  EXPECT_TRUE(at::allclose(params.tensor(0).narrow(0, 1, 2), learning.tensor(0), 1e-12, 1e-14));  // fp64
  EXPECT_EQ(state.updates, (std::vector<int64_t>{4, 4, 4}));
}

TEST(AdamW, SlowsRowsAsItSlowsAParameter) {
  RateFactors factors{{0.25, 1, 1}};
  const auto slow = some_params(), rows = some_params();
  auto slow_state = initial_adam_state(slow), rows_state = initial_adam_state(rows);
  adamw_update({{}, 0.1, factors}, slow, some_gradients(1), slow_state);
  factors.values[0] = 1;
  factors.rows[0] = {{0, 2, 0.25}, {2, 3, 1}};
  adamw_update({{}, 0.1, factors}, rows, some_gradients(1), rows_state);
  EXPECT_TRUE(at::allclose(rows.tensor(0).narrow(0, 0, 2), slow.tensor(0).narrow(0, 0, 2), 1e-12, 1e-14));
  EXPECT_FALSE(at::allclose(rows.tensor(0).narrow(0, 2, 1), slow.tensor(0).narrow(0, 2, 1), 1e-3, 1e-3));
}

TEST(OptimizerConfig, RefusesValuesOutsideTheirRange) {
  const auto message_for = [](const std::string& toml) {
    return testing::message_of<ConfigError>([&] {
      OptimizerConfig config;
      const ConfigNode given = parse_toml(toml, "r.toml", "");
      evenkeel::read_value(given, "optimizer", config);
      check_optimizer_config(config, given);
    });
  };
  EXPECT_THAT(message_for("kind = \"sgd\""), HasSubstr("r.toml:1:1: got optimizer.kind = sgd; need adamw"));
  EXPECT_THAT(message_for("betas = [0.9]"), HasSubstr("need two numbers"));
  EXPECT_THAT(message_for("betas = [0.9, 1.0]"), HasSubstr("need 0 <= beta < 1"));
  EXPECT_THAT(message_for("betas = [-0.1, 0.5]"), HasSubstr("need 0 <= beta < 1"));
  EXPECT_THAT(message_for("weight_decay = 0.1\neps = 0.0"),
              HasSubstr("r.toml:2:1: got optimizer.eps = 0; need more than 0"));
  EXPECT_THAT(message_for("weight_decay = -0.1"), HasSubstr("0 or more"));
  EXPECT_THAT(message_for("decay = \"none\""),
              HasSubstr("r.toml:1:1: got optimizer.decay = 'none'; need one of: matrices, all"));
  EXPECT_THAT(message_for("clip_norm = -1.0"), HasSubstr("0 (no clipping) or more"));
  EXPECT_NO_THROW(check_optimizer_config({}, {}));
}

}  // namespace
}  // namespace evenkeel::optim
