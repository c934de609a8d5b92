#include <ATen/ops/allclose.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/files.h"
#include "support/gradients.h"
#include "support/optimizers.h"

namespace evenkeel::optim {
namespace {

using ::testing::HasSubstr;
using testing::moments_of;
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
  void step(const at::Tensor& g, int64_t n, double rate, double decay) {
    first = 0.9 * first + 0.1 * g;
    second = 0.95 * second + 0.05 * g * g;
    const auto m = first / (1 - std::pow(0.9, static_cast<double>(n)));
    const auto v = second / (1 - std::pow(0.95, static_cast<double>(n)));
    value = value * (1 - rate * decay) - rate * m / (v.sqrt() + 1e-8);
  }
};

// Parameters with an optimizer of its defaults, but for what `toml` says.
struct Trial {
  explicit Trial(ops::Params its_params, const std::string& toml = "")
      : params(std::move(its_params)),
        optimizer(testing::optimizer_for(params, toml)),
        state(initial_optimizer_state(*optimizer, params)) {}
  void step(double rate, const std::vector<at::Tensor>& gradients, const RateFactors& factors = {}) {
    optimizer->update({rate, factors}, params, gradients, state);
  }
  ops::Params params;
  std::unique_ptr<Optimizer> optimizer;
  OptimizerState state;
};

TEST(AdamW, FirstUpdateIsTheSignOfTheGradient) {
  ops::Params params;
  params.add("bias", at::tensor({1.0, 1.0, 1.0}));
  Trial trial(params);
  trial.step(0.1, {at::tensor({3.0, -0.5, 0.0})});
  // m / sqrt(v) = sign(g) up to eps; one dimension does not decay
  testing::expect_close(params.at("bias"), at::tensor({0.9, 1.1, 1.0}), 0, 1e-6, "bias");
  EXPECT_EQ(trial.state.updates, (std::vector<int64_t>{1}));
  EXPECT_EQ(trial.state.kind, "adamw");
}

TEST(AdamW, FollowsTheFormulaForAllTensors) {
  for (const std::string decay : {"matrices", "all"}) {
    Trial trial(some_params(), "decay = \"" + decay + "\"");
    std::vector<Reference> need;
    for (const auto& [name, tensor] : trial.params)
      need.push_back({tensor.clone(), at::zeros_like(tensor), at::zeros_like(tensor)});
    for (int64_t n = 1; n <= 5; ++n) {
      const auto gradients = some_gradients(static_cast<uint64_t>(10 * n));
      const double rate = 0.01 * static_cast<double>(n);
      trial.step(rate, gradients);
      for (size_t i = 0; i < need.size(); ++i)
        need[i].step(gradients[i], n, rate, decay == "all" || i != 1 ? 0.1 : 0.0);
    }
    const auto first = moments_of(trial.state, "first"), second = moments_of(trial.state, "second");
    size_t i = 0;
    for (const auto& [name, tensor] : trial.params) {
      testing::expect_close(tensor, need[i].value, 1e-12, 1e-13, name);  // fp64, five steps
      testing::expect_close(first.at(name), need[i].first, 1e-12, 1e-14, name);
      testing::expect_close(second.at(name), need[i++].second, 1e-12, 1e-14, name);
    }
  }
}

TEST(AdamW, ItsMomentsAreAllFirstOnesThenAllSecondOnes) {
  const Trial trial(some_params());
  std::vector<std::string> names;
  for (const auto& form : trial.optimizer->moment_forms()) names.push_back(form.name);
  EXPECT_EQ(names, (std::vector<std::string>{"first.layers.0.ffn.down.weight", "first.layers.0.ffn_norm.weight",
                                             "first.head.weight", "second.layers.0.ffn.down.weight",
                                             "second.layers.0.ffn_norm.weight", "second.head.weight"}));
  EXPECT_EQ(trial.optimizer->moment_floats(), 2 * (12 + 4 + 8));
  EXPECT_EQ(trial.optimizer->clip_norm(), 1.0);
}

TEST(AdamW, FrozenParametersKeepEverything) {
  Trial trial(some_params());
  const auto before = copy_of(trial.params);
  trial.step(0.1, some_gradients(1), kHeadFrozen);
  EXPECT_TRUE(same_bits(trial.params.at("head.weight"), before.at("head.weight")));
  EXPECT_EQ(trial.state.moments.at("first.head.weight").abs().max().item<double>(), 0.0);
  EXPECT_EQ(trial.state.updates.at(2), 0);
  EXPECT_FALSE(same_bits(trial.params.at("layers.0.ffn_norm.weight"), before.at("layers.0.ffn_norm.weight")));
  // Thawed later, its bias correction starts at its own first update.
  ops::Params fresh;
  fresh.add("head.weight", before.at("head.weight").clone());
  Trial alone(fresh);
  const auto gradients = some_gradients(5);
  trial.step(0.1, gradients);
  alone.step(0.1, {gradients[2]});
  EXPECT_TRUE(same_bits(trial.params.at("head.weight"), fresh.at("head.weight")));
}

TEST(AdamW, SlowParametersTakeAFractionOfTheRate) {
  Trial slow(some_params()), plain(some_params());
  const auto gradients = some_gradients(7);
  slow.step(0.1, gradients, kHeadSlow);
  plain.step(0.025, gradients);
  EXPECT_TRUE(same_bits(slow.params.at("head.weight"), plain.params.at("head.weight")));  // decay follows the rate too
  EXPECT_FALSE(same_bits(slow.params.at("layers.0.ffn_norm.weight"), plain.params.at("layers.0.ffn_norm.weight")));
}

TEST(AdamW, AParameterWithoutGradientStays) {
  Trial trial(some_params());
  const auto before = copy_of(trial.params);
  trial.step(0.1, {at::Tensor(), at::ones({4}, at::kDouble), at::Tensor()});
  EXPECT_TRUE(same_bits(trial.params.at("head.weight"), before.at("head.weight")));
  EXPECT_EQ(trial.state.updates.at(2), 0);
  EXPECT_EQ(trial.state.updates.at(1), 1);
}

TEST(AdamW, UpdatesLeavesThatRequireGradientInPlace) {
  ops::Params params;
  params.add("w", at::ones({2, 2}).requires_grad_(true));
  Trial trial(params);
  EXPECT_FALSE(trial.state.moments.at("first.w").requires_grad());
  const void* data = params.at("w").const_data_ptr();
  trial.step(0.1, {at::ones({2, 2})});
  EXPECT_EQ(params.at("w").const_data_ptr(), data);
  EXPECT_TRUE(params.at("w").requires_grad());
  EXPECT_LT(params.at("w").max().item<float>(), 1.0f);
}

// Rows of one rate are what a parameter of their own would be.
TEST(AdamW, LeavesFrozenRowsAndTheirMomentsToTheBit) {
  RateFactors factors{{1, 1, 1}};
  factors.rows[0] = {{0, 1, 0}, {1, 3, 1}};
  Trial trial(some_params());
  trial.step(0.1, some_gradients(1));  // moments that are not 0
  const auto before = copy_of(trial.params), moments = copy_of(trial.state.moments);
  const auto learning = [](const at::Tensor& whole) { return whole.narrow(0, 1, 2).clone(); };
  ops::Params rest;
  rest.add("rest.weight", learning(trial.params.tensor(0)));
  Trial apart(rest);
  apart.state.moments.tensor(0).copy_(learning(moments.tensor(0)));
  apart.state.moments.tensor(1).copy_(learning(moments.tensor(3)));
  apart.state.updates = {1};
  for (uint64_t step = 2; step < 5; ++step) {
    const auto gradients = some_gradients(10 * step);
    trial.step(0.1, gradients, factors);
    apart.step(0.1, {learning(gradients[0])});
  }
  const auto is_kept = [](const at::Tensor& now, const at::Tensor& was) {
    return same_bits(now.narrow(0, 0, 1), was.narrow(0, 0, 1)) && !same_bits(now, was);
  };
  EXPECT_TRUE(is_kept(trial.params.tensor(0), before.tensor(0)));
  EXPECT_TRUE(is_kept(trial.state.moments.tensor(0), moments.tensor(0)));
  EXPECT_TRUE(is_kept(trial.state.moments.tensor(3), moments.tensor(3)));
  EXPECT_FALSE(same_bits(trial.params.tensor(2), before.tensor(2)));
  EXPECT_TRUE(at::allclose(learning(trial.params.tensor(0)), rest.tensor(0), 1e-12, 1e-14));  // fp64
  EXPECT_EQ(trial.state.updates, (std::vector<int64_t>{4, 4, 4}));
}

TEST(AdamW, SlowsRowsAsItSlowsAParameter) {
  RateFactors factors{{0.25, 1, 1}};
  Trial slow(some_params()), rows(some_params());
  slow.step(0.1, some_gradients(1), factors);
  factors.values[0] = 1;
  factors.rows[0] = {{0, 2, 0.25}, {2, 3, 1}};
  rows.step(0.1, some_gradients(1), factors);
  const auto &one = slow.params.tensor(0), &other = rows.params.tensor(0);
  EXPECT_TRUE(at::allclose(other.narrow(0, 0, 2), one.narrow(0, 0, 2), 1e-12, 1e-14));
  EXPECT_FALSE(at::allclose(other.narrow(0, 2, 1), one.narrow(0, 2, 1), 1e-3, 1e-3));
}

TEST(AdamW, RefusesValuesOutsideTheirRange) {
  const auto message_for = [](const std::string& toml) {
    return testing::message_of<ConfigError>([&] { testing::optimizer_for(some_params(), toml); });
  };
  EXPECT_THAT(message_for("betas = [0.9]"), HasSubstr("need two numbers"));
  EXPECT_THAT(message_for("betas = [0.9, 1.0]"), HasSubstr("need 0 <= beta < 1"));
  EXPECT_THAT(message_for("betas = [-0.1, 0.5]"), HasSubstr("need 0 <= beta < 1"));
  EXPECT_THAT(message_for("weight_decay = 0.1\neps = 0.0"),
              HasSubstr("r.toml:2:1: got optimizer.eps = 0; need more than 0"));
  EXPECT_THAT(message_for("weight_decay = -0.1"), HasSubstr("0 or more"));
  EXPECT_THAT(message_for("decay = \"none\""),
              HasSubstr("r.toml:1:1: got optimizer.decay = 'none'; need one of: matrices, all"));
  EXPECT_THAT(message_for("clip_norm = -1.0"), HasSubstr("0 (no clipping) or more"));
  EXPECT_THAT(message_for("decay_rate = 0.8"), HasSubstr("unknown key 'optimizer.decay_rate'"));
}

}  // namespace
}  // namespace evenkeel::optim
