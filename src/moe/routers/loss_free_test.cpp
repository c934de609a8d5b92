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

TestedRouter loss_free(const std::string& keys, int64_t n_experts, int64_t top_k) {
  return TestedRouter({"loss_free", keys}, n_experts, top_k);
}

// Adds what one micro-batch of the golden file says to `statistics`, and checks its choices.
void run_micro_batch(const TestedRouter& router, const Json& batch, const Json& expert_ids, at::ScalarType dtype,
                     at::Tensor& statistics) {
  auto input = router.with_logits(testing::tensor_of(batch.at("logits")).to(dtype));
  if (!batch.at("is_padding").is_null()) {
    input.is_padding = at::zeros({input.hidden.size(0)}, at::kBool);
    for (int64_t t = 0; t < input.hidden.size(0); ++t)
      input.is_padding[t] = batch.at("is_padding").at(static_cast<size_t>(t)).as_bool();
  }
  auto decision = router.route(input);
  EXPECT_TRUE(same_bits(decision.expert_ids.view({-1, router.shape.top_k}), testing::ids_of(expert_ids)));
  decision.dropped = at::zeros(decision.expert_ids.sizes(), at::kBool);
  for (int64_t n = 0; n < decision.dropped.size(0); ++n)
    decision.dropped[n] = batch.at("dropped")
                              .at(static_cast<size_t>(n / router.shape.top_k))
                              .at(static_cast<size_t>(n % router.shape.top_k))
                              .as_bool();
  const auto more = router.router->balance_statistics(input, decision);
  statistics = statistics.defined() ? statistics + more : more;
}

TEST(LossFree, StepsMatchTheGoldenFile) {
  const auto golden = testing::read_golden("loss_free.json");
  for (const auto& c : golden.inputs.at("cases").as_array())
    for (const auto dtype : {at::kFloat, at::kDouble}) {
      const std::string name = c.at("name").as_string();
      std::string keys;
      for (const char* key : {"update", "counts", "rate_until", "rate"})
        keys += std::string(key) + " = " + c.at(key).dump() + "\n";
      auto router = loss_free(keys, c.at("n_experts").as_int(), c.at("top_k").as_int());
      const auto& steps = c.at("steps").as_array();
      for (size_t step = 0; step < steps.size(); ++step) {
        const auto& need = golden.outputs.at(name).at(step);
        at::Tensor statistics;
        for (size_t i = 0; i < steps[step].size(); ++i)
          run_micro_batch(router, steps[step].at(i), need.at("expert_ids").at(i), dtype, statistics);
        expect_close(statistics.narrow(0, 0, router.shape.n_experts), testing::tensor_of(need.at("loads")), 0, 0,
                     name + " loads");
        router.router->after_step(router.state, statistics);
        EXPECT_EQ(router.state.at("bias").scalar_type(), at::kFloat);
        expect_close(router.state.at("bias"), testing::tensor_of(need.at("bias")), golden.rtol, golden.atol,
                     name + " bias");
        EXPECT_EQ(router.state.at("tokens").item<int64_t>(), need.at("tokens").as_int()) << name;
        EXPECT_EQ(router.state.at("steps").item<int64_t>(), static_cast<int64_t>(step) + 1);
      }
    }
}

TEST(LossFree, TheBiasChoosesAndDoesNotWeigh) {
  auto router = loss_free("", 3, 1);
  const auto logits = at::tensor({2.0, 1.0, 0.0}).view({1, 3});
  router.state.at("bias").copy_(at::tensor({0.0, 0.0, 0.5}));  // 0.881, 0.731, 0.5 + 0.5
  const auto decision = router.route(router.with_logits(logits));
  EXPECT_EQ(decision.expert_ids.item<int64_t>(), 2);
  EXPECT_DOUBLE_EQ(decision.weights.item<double>(), 0.5);
  EXPECT_FALSE(router.traits.needs_balance);
}

TEST(LossFree, AnExpertAtTheMeanKeepsItsBias) {
  const auto router = loss_free("rate = 0.25", 4, 1);
  auto state = router.initial_state();
  router.router->after_step(state, at::tensor({6.0, 4.0, 4.0, 2.0, 16.0}));
  EXPECT_TRUE(same_bits(state.at("bias"), at::tensor({-0.25f, 0.0f, 0.0f, 0.25f})));  // not centred, sign(0) = 0
  router.router->after_step(state, at::zeros({5}, at::kDouble));                      // a step of padding alone
  EXPECT_TRUE(same_bits(state.at("bias"), at::tensor({-0.25f, 0.0f, 0.0f, 0.25f})));
  router.router->after_step(state, {});
  EXPECT_EQ(state.at("steps").item<int64_t>(), 2);
  const auto other = loss_free("rate = 0.25\nupdate = \"proportional\"", 4, 1);
  auto proportional = other.initial_state();
  other.router->after_step(proportional, at::tensor({6.0, 4.0, 4.0, 2.0, 16.0}));
  EXPECT_TRUE(same_bits(proportional.at("bias"), at::tensor({-0.125f, 0.0f, 0.0f, 0.125f})));
  other.router->after_step(proportional, at::zeros({5}, at::kDouble));
  EXPECT_TRUE(same_bits(proportional.at("bias"), at::tensor({-0.125f, 0.0f, 0.0f, 0.125f})));
}

// Logits that lean on one expert: after enough steps no expert has 1.3 times its share.
TEST(LossFree, BalancesWhatTopKDoesNot) {
  const auto logits = random_tensor({2048, 8}, 1) + at::tensor({3.0, 1.0, 0.5, 0.0, 0.0, -0.5, -1.0, -2.0});
  const auto worst = [&](const RoutingDecision& decision) {
    const auto counts =
        at::zeros({8}, at::kDouble).scatter_add(0, decision.expert_ids, at::zeros({4096}, at::kDouble) + 1);
    return counts.max().item<double>() / 512;
  };
  auto router = loss_free("rate = 0.01", 8, 2);
  EXPECT_GT(worst(router.route(router.with_logits(logits))), 2.5);
  router.train_on(std::vector<at::Tensor>(150, logits));
  EXPECT_LT(worst(router.route(router.with_logits(logits))), 1.3);
}

TEST(LossFree, NothingIsCountedAtEvaluation) {
  const auto router = loss_free("", 4, 2);
  const auto input = router.with_logits(random_tensor({5, 4}, 2), Mode::eval);
  EXPECT_FALSE(router.router->balance_statistics(input, router.route(input)).defined());
}

TEST(LossFree, RefusesOptionsOutsideTheirRange) {
  const auto error_of = [](const std::string& keys) {
    return testing::message_of<ConfigError>([&] { loss_free(keys, 4, 2); });
  };
  EXPECT_THAT(error_of("rate = -1.0"), HasSubstr("recipe.toml:2:1: got model.router.rate = -1; need 0..1e6"));
  EXPECT_THAT(error_of("update = \"add\""),
              HasSubstr("got model.router.update = 'add'; need one of: sign, proportional"));
  EXPECT_THAT(error_of("counts = \"all\""), HasSubstr("need one of: before_drops, after_drops"));
  EXPECT_THAT(error_of("rate_until = \"1 epoch\""),
              HasSubstr("got model.router.rate_until = '1 epochs'; need tokens or steps"));
  for (const std::string key : {"update = \"proportional\"", "counts = \"after_drops\"", "rate_until = \"2 steps\""})
    EXPECT_THAT(error_of("rate = 0.0\n" + key),
                ::testing::AllOf(HasSubstr("recipe.toml:3:1: got model.router." + key.substr(0, key.find(' '))),
                                 HasSubstr("need a rate above 0 beside it")));
  EXPECT_NO_THROW(loss_free("rate = 0.0\nupdate = \"sign\"\nrate_until = \"0 tokens\"", 4, 2));
  EXPECT_EQ(loss_free("rate_until = \"14.3T tokens\"", 4, 2).router->options().at("rate_until").as_string(),
            "1.43e+13 tokens");
  EXPECT_EQ(loss_free("rate_until = 1000", 4, 2).router->options().at("rate_until").as_string(), "1000 tokens");
}

}  // namespace
}  // namespace evenkeel::moe
