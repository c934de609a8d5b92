#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/files.h"
#include "support/router_forms.h"

namespace evenkeel::moe {
namespace {

using testing::expect_close;
using ::testing::HasSubstr;
using testing::random_tensor;
using testing::same_bits;
using testing::TestedRouter;

TestedRouter quantile(const std::string& keys, int64_t n_experts, int64_t top_k) {
  return TestedRouter({"quantile", keys}, n_experts, top_k);
}

TEST(Quantile, StepsMatchTheGoldenFile) {
  const auto golden = testing::read_golden("quantile.json");
  for (const auto& c : golden.inputs.at("cases").as_array())
    for (const auto dtype : {at::kFloat, at::kDouble}) {
      const std::string name = c.at("name").as_string();
      auto router = quantile("ema = " + c.at("ema").dump(), c.at("n_experts").as_int(), c.at("top_k").as_int());
      const auto& steps = c.at("steps").as_array();
      for (size_t step = 0; step < steps.size(); ++step) {
        const auto& need = golden.outputs.at(name).at(step);
        at::Tensor statistics;
        for (size_t i = 0; i < steps[step].size(); ++i) {
          const auto& batch = steps[step].at(i);
          auto input = router.with_logits(testing::tensor_of(batch.at("logits")).to(dtype));
          if (!batch.at("is_padding").is_null()) {
            input.is_padding = at::zeros({input.hidden.size(0)}, at::kBool);
            for (int64_t t = 0; t < input.hidden.size(0); ++t)
              input.is_padding[t] = batch.at("is_padding").at(static_cast<size_t>(t)).as_bool();
          }
          const auto decision = router.route(input);
          EXPECT_TRUE(same_bits(decision.expert_ids.view({-1, router.shape.top_k}),
                                testing::ids_of(need.at("expert_ids").at(i))))
              << name << ", step " << step;
          const auto more = router.router->balance_statistics(input, decision);
          statistics = statistics.defined() ? statistics + more : more;
        }
        router.router->after_step(router.state, statistics);
        EXPECT_EQ(router.state.at("beta").scalar_type(), at::kFloat);
        expect_close(router.state.at("beta"), testing::tensor_of(need.at("beta")), golden.rtol, golden.atol,
                     name + " beta");
      }
    }
}

// One step on a batch, then the same batch: with T k / E whole and distinct logits every expert is near its share.
TEST(Quantile, BalancesTheBatchItSaw) {
  const auto logits = testing::leaning_logits(512, 8, 1, 1.5);
  auto router = quantile("", 8, 1);
  const auto loads = [&] {
    const auto ids = router.route(router.with_logits(logits)).expert_ids;
    return at::zeros({8}, at::kDouble).scatter_add(0, ids, at::zeros({512}, at::kDouble) + 1);
  };
  EXPECT_GT(loads().max().item<double>(), 2.0 * 64);
  router.train_on(std::vector<at::Tensor>(12, logits));
  EXPECT_LT(loads().max().item<double>(), 1.15 * 64);  // coordinate descent, not the optimum
  EXPECT_GT(loads().min().item<double>(), 0.85 * 64);
}

TEST(Quantile, WeightsDoNotSeeBeta) {
  auto router = quantile("", 3, 2);
  router.state.at("beta").copy_(at::tensor({5.0, 0.0, -5.0}));
  const auto logits = at::tensor({2.0, 1.0, 0.0}).view({1, 3});
  const auto decision = router.route(router.with_logits(logits));
  EXPECT_TRUE(same_bits(decision.expert_ids, at::tensor({2, 1}).to(at::kLong)));
  expect_close(decision.weights, at::softmax(logits, 1).index_select(1, at::tensor({2, 1}).to(at::kLong)).reshape({-1}),
               1e-15, 0, "weights");
  EXPECT_FALSE(router.traits.needs_balance);
}

TEST(Quantile, NothingIsCountedAtEvaluation) {
  const auto router = quantile("", 4, 2);
  const auto input = router.with_logits(random_tensor({5, 4}, 2), Mode::eval);
  EXPECT_FALSE(router.router->balance_statistics(input, router.route(input)).defined());
  auto state = router.initial_state();
  router.router->after_step(state, {});
  EXPECT_TRUE(same_bits(state.at("beta"), at::zeros({4}, at::kFloat)));
}

TEST(Quantile, RefusesOptionsOutsideTheirRange) {
  const auto error_of = [](const std::string& keys) {
    return testing::message_of<ConfigError>([&] { quantile(keys, 4, 2); });
  };
  EXPECT_THAT(error_of("ema = 1.0"), HasSubstr("recipe.toml:2:1: got model.router.ema = 1; need 0 or more, below 1"));
  EXPECT_THAT(error_of("ema = -0.5"), HasSubstr("need 0 or more"));
}

}  // namespace
}  // namespace evenkeel::moe
