#include "moe/moe_layer.h"

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
  explicit DroppingRouter(at::Tensor dropped) : inner_(make_router({4, 1}, ConfigNode{})), dropped_(std::move(dropped)) {}
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
  return ops::gated_ffn(x, layer.experts.gate_up[e], layer.experts.down[e], layer.experts.activation);
}

TEST(MoeLayer, IsTheWeightedSumOfExpertsPlusTheSharedOne) {
  const auto layer = make_layer(5, true);
  const auto router = make_router({4, 2}, ConfigNode{});
  const auto result = moe_layer(*router, layer.input, layer.experts);
  auto need = ops::gated_ffn(layer.input.hidden, layer.experts.shared_gate_up, layer.experts.shared_down, ops::Activation::swiglu);
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
  const auto shared = ops::gated_ffn(layer.input.hidden, layer.experts.shared_gate_up, layer.experts.shared_down, ops::Activation::swiglu);
  EXPECT_TRUE(testing::same_bits(result.out[1], shared[1]));
  EXPECT_FALSE(testing::same_bits(result.out[0], shared[0]));
  const auto all = moe_layer(DroppingRouter(at::zeros({3}, at::kBool).logical_not()), layer.input, layer.experts);
  EXPECT_TRUE(testing::same_bits(all.out, shared));
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

}  // namespace
}  // namespace evenkeel::moe
