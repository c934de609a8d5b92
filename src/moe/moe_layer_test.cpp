#include "moe/moe_layer.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/gradients.h"

namespace evenkeel::moe {
namespace {

using testing::random_tensor;

// Top-1 that drops every assignment of the tokens it is told to.
class DroppingRouter : public Router {
 public:
  explicit DroppingRouter(at::Tensor dropped)
      : inner_(make_router({4, 1}, ConfigNode{})), dropped_(std::move(dropped)) {}
  RoutingDecision route(const RouterInput& input) const override {
    auto decision = inner_->route(input);
    decision.dropped = dropped_;
    return decision;
  }
  RouterTraits traits() const override { return inner_->traits(); }
  Json options() const override { return Json::object(); }

 private:
  std::unique_ptr<Router> inner_;
  at::Tensor dropped_;
};

struct Layer {
  RouterInput input;
  ExpertWeights experts;
};
Layer make_layer(int64_t T, bool shared) {
  Layer out;
  out.input.hidden = random_tensor({T, 6}, 1);
  out.input.weight = random_tensor({4, 6}, 2);
  out.experts.gate_up = random_tensor({4, 10, 6}, 3);
  out.experts.down = random_tensor({4, 6, 5}, 4);
  if (shared) {
    out.experts.shared_gate_up = random_tensor({8, 6}, 5);
    out.experts.shared_down = random_tensor({6, 4}, 6);
  }
  return out;
}
at::Tensor expert(const Layer& layer, int64_t e, const at::Tensor& x) {
  return ops::gated_ffn(x, {layer.experts.gate_up[e], layer.experts.down[e], layer.experts.form});
}

TEST(MoeLayer, IsTheWeightedSumOfExpertsPlusTheSharedOne) {
  const auto layer = make_layer(5, true);
  const auto router = make_router({4, 2}, ConfigNode{});
  const auto result = moe_layer(*router, layer.input, layer.experts);
  auto need = ops::gated_ffn(layer.input.hidden, {layer.experts.shared_gate_up, layer.experts.shared_down});
  for (int64_t n = 0; n < 10; ++n) {
    const int64_t t = n / 2, e = result.decision.expert_ids[n].item<int64_t>();
    need[t] += expert(layer, e, layer.input.hidden.narrow(0, t, 1))[0] * result.decision.weights[n];
  }
  testing::expect_close(result.out, need, 1e-12, 1e-12, "out");  // fp64, sums of 6
}

TEST(MoeLayer, DroppedAssignmentsContributeNothing) {
  const auto layer = make_layer(3, true);
  const DroppingRouter router(at::tensor({0, 1, 0}).to(at::kBool));
  const auto result = moe_layer(router, layer.input, layer.experts);
  const auto shared = ops::gated_ffn(layer.input.hidden, {layer.experts.shared_gate_up, layer.experts.shared_down});
  EXPECT_TRUE(testing::same_bits(result.out[1], shared[1]));
  EXPECT_FALSE(testing::same_bits(result.out[0], shared[0]));
  const auto all = moe_layer(DroppingRouter(at::zeros({3}, at::kBool).logical_not()), layer.input, layer.experts);
  EXPECT_TRUE(testing::same_bits(all.out, shared));
}

TEST(MoeLayer, NoExpertRunsPadding) {
  auto layer = make_layer(4, true);
  layer.input.is_padding = at::tensor({0, 1, 0, 1}).to(at::kBool);
  const auto shared = ops::gated_ffn(layer.input.hidden, {layer.experts.shared_gate_up, layer.experts.shared_down});
  for (const auto* kind : {"top_k", "sinkhorn", "expert_choice", "random"}) {
    const auto router = make_router({4, 2}, parse_toml(std::string("kind = \"") + kind + "\"", "r", ""));
    const auto out = moe_layer(*router, layer.input, layer.experts).out;
    for (const int64_t t : {1, 3}) EXPECT_TRUE(testing::same_bits(out[t], shared[t])) << kind;
    EXPECT_FALSE(testing::same_bits(out[0], shared[0])) << kind;
    // Of padding alone nothing is run.
    auto nothing = layer.input;
    nothing.is_padding = at::full({4}, true, at::kBool);
    EXPECT_TRUE(testing::same_bits(moe_layer(*router, nothing, layer.experts).out, shared)) << kind;
  }
}

TEST(MoeLayer, TakesNoTokens) {
  for (const bool shared : {false, true}) {
    const auto layer = make_layer(0, shared);
    for (const auto* kind : {"top_k", "sinkhorn"}) {
      const auto router = make_router({4, 2}, parse_toml(std::string("kind = \"") + kind + "\"", "r", ""));
      EXPECT_EQ(moe_layer(*router, layer.input, layer.experts).out.sizes(), (at::IntArrayRef{0, 6}));
    }
  }
}

TEST(MoeLayer, GradientReachesTheRouterThroughTheWeights) {
  const auto layer = make_layer(4, false);
  const auto router = make_router({4, 2}, ConfigNode{});
  testing::expect_gradients(
      [&](const auto& in) {
        auto input = layer.input;
        input.hidden = in[0];
        input.weight = in[1];
        const auto out = moe_layer(*router, input, layer.experts).out;
        return (out * out).sum() * 0.01;  // values and derivatives of order 1
      },
      {layer.input.hidden, layer.input.weight}, 1e-6);  // squares of sums: derivatives up to 100
}

// ---- with a capacity ----

// Two assignments an expert in training, one in evaluation, whatever the number of tokens.
CapacityConfig small_capacity() {
  return {.rule = "megatron-position", .factor_train = 0.5, .factor_eval = 0.25, .priority = Priority::first_choices};
}

TEST(MoeLayer, CapacityDropsByTheFactorOfTheMode) {
  auto layer = make_layer(8, false);  // k T / E = 4
  const auto router = make_router({4, 2, 0}, ConfigNode{});
  for (const auto& [mode, capacity] : {std::pair{Mode::train, 2}, {Mode::eval, 1}}) {
    layer.input.mode = mode;
    const auto decision = moe_layer(*router, layer.input, layer.experts, small_capacity()).decision;
    EXPECT_EQ(decision.capacity, capacity);
    const auto kept = decision.expert_ids.masked_select(decision.dropped.logical_not()).bincount({}, 4);
    EXPECT_EQ(kept.max().item<int64_t>(), capacity);
    const auto chosen = decision.expert_ids.bincount({}, 4);
    EXPECT_EQ(decision.dropped.sum().item<int64_t>(), (chosen - capacity).clamp_min(0).sum().item<int64_t>());
  }
}

TEST(MoeLayer, CapacityLeavesTheSharedExpertToATokenWithoutOthers) {
  auto layer = make_layer(6, true);
  auto config = small_capacity();
  config.factor_train = 1e-3;  // one assignment an expert
  const auto result = moe_layer(*make_router({4, 1, 0}, ConfigNode{}), layer.input, layer.experts, config);
  const auto shared = ops::gated_ffn(layer.input.hidden, {layer.experts.shared_gate_up, layer.experts.shared_down});
  int64_t n_dropped = 0;
  for (int64_t t = 0; t < 6; ++t) {
    const bool is_dropped = result.decision.dropped[t].item<bool>();
    EXPECT_EQ(testing::same_bits(result.out[t], shared[t]), is_dropped);
    n_dropped += is_dropped ? 1 : 0;
  }
  EXPECT_GE(n_dropped, 2);
}

TEST(MoeLayer, CapacityComesBeforeTheStatisticsOfTheRouter) {
  class CountingRouter : public DroppingRouter {
   public:
    using DroppingRouter::DroppingRouter;
    at::Tensor balance_statistics(const RouterInput&, const RoutingDecision& decision) const override {
      return decision.dropped.sum();
    }
  };
  const CountingRouter router(at::Tensor{});
  const auto layer = make_layer(8, false);
  auto config = small_capacity();
  config.factor_train = 1e-3;
  const auto decision = moe_layer(router, layer.input, layer.experts, config).decision;
  EXPECT_EQ(decision.balance_statistics.item<int64_t>(), decision.dropped.sum().item<int64_t>());
  EXPECT_GE(decision.balance_statistics.item<int64_t>(), 4);
}

TEST(MoeLayer, CapacityGradientsMatchFiniteDifferences) {
  const auto layer = make_layer(5, false);
  const auto router = make_router({4, 2, 0}, ConfigNode{});
  for (const auto how : {Renormalize::none, Renormalize::before, Renormalize::after})
    for (const bool pad : {false, true}) {
      auto config = small_capacity();
      config.renormalize = how;
      config.pad = pad;
      testing::expect_gradients(
          [&](const auto& in) {
            auto input = layer.input;
            input.hidden = in[0];
            input.weight = in[1];
            auto experts = layer.experts;
            experts.down = in[2];
            const auto out = moe_layer(*router, input, experts, config).out;
            return (out * out).sum() * 0.01;  // values and derivatives of order 1
          },
          {layer.input.hidden, layer.input.weight, layer.experts.down},
          1e-6);  // squares of sums: derivatives up to 100
    }
}

}  // namespace
}  // namespace evenkeel::moe
