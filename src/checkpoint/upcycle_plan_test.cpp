#include "checkpoint/upcycle_plan.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/test_support.h"
#include "support/files.h"

namespace evenkeel::checkpoint {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

ModelSource source_of(const std::string& more) {
  ModelSource out;
  out.folder = "parent";
  out.kind = "checkpoint";
  out.config = tiny_model(more);
  return out;
}
UpcyclePlan plan_of(const UpcycleOptions& options, const std::string& more = "") {
  return plan_upcycling(source_of(more), options);
}

// Ratios of sums of fp32 weights.
constexpr double kRounding = 1e-5;

TEST(UpcyclePlan, OfACopyIsTheParentsFunction) {
  const auto plan = plan_of({.n_experts = 8, .top_k = 2});
  EXPECT_FALSE(plan.adds_experts);
  EXPECT_EQ(plan.config.d_expert, 24);
  EXPECT_EQ(plan.config.d_ff, 24);
  EXPECT_EQ(plan.config.router.find("renormalize")->shown(), "true");
  EXPECT_TRUE(plan.has_fixed_sum);
  EXPECT_NEAR(plan.scale, 1, kRounding);
  EXPECT_EQ(plan.difference, "");
}

// The cases of scripts/golden/upcycle.py: with the published router they are its s.
TEST(UpcyclePlan, ScalesByWhatTheWeightsOfATokenSumTo) {
  struct Case {
    int64_t dense, g, k;
    const char* set;
    double scale;
  };
  const char* post = "model.router.score=softmax_post";
  const char* pre = "model.router.renormalize=false";
  for (const auto& c : {Case{8, 1, 2, post, 1}, Case{8, 1, 2, pre, 4}, Case{8, 8, 8, post, 8}, Case{8, 8, 8, pre, 64},
                        Case{4, 2, 2, pre, 8}, Case{8, 1, 1, pre, 8}, Case{4, 2, 4, "model.router.scaling=2", 1}}) {
    const auto plan = plan_of({.n_experts = c.dense * c.g, .top_k = c.k, .granularity = c.g, .set = {c.set}});
    EXPECT_NEAR(plan.scale, c.scale, kRounding * c.scale) << c.set << " " << c.g << " " << c.k;
    EXPECT_NEAR(plan.multiplier, std::cbrt(c.scale), kRounding * c.scale);
    EXPECT_EQ(plan.has_fixed_sum, c.set != pre) << c.set;
  }
}

TEST(UpcyclePlan, SaysWhyTheFunctionChanges) {
  EXPECT_THAT(plan_of({.n_experts = 8, .top_k = 2, .method = UpcycleMethod::drop}).difference, HasSubstr("drawn anew"));
  EXPECT_THAT(plan_of({.n_experts = 8, .top_k = 2, .method = UpcycleMethod::noise}).difference, HasSubstr("noise"));
  const auto pre = plan_of({.n_experts = 8, .top_k = 2, .set = {"model.router.renormalize=false"}});
  EXPECT_THAT(pre.difference, HasSubstr("sum to another number"));
  EXPECT_THAT(pre.advice, HasSubstr("renormalize = true"));
  EXPECT_THAT(plan_of({.n_experts = 8, .top_k = 1}).advice, HasSubstr("--top-k 2"));
  const auto fine = plan_of({.n_experts = 16, .top_k = 8, .granularity = 4});
  EXPECT_THAT(fine.difference, HasSubstr("not linear"));
  EXPECT_THAT(fine.advice, HasSubstr("model.router.scaling=4"));
  EXPECT_EQ(plan_of({.n_experts = 16, .top_k = 8, .granularity = 4, .set = {"model.router.scaling=4"}}).difference, "");
  EXPECT_THAT(
      plan_of({.n_experts = 8, .top_k = 2, .set = {"model.capacity={rule = \"megatron-position\"}"}}).difference,
      HasSubstr("capacity"));
  EXPECT_THAT(
      plan_of({.n_experts = 8, .top_k = 2, .granularity = 2, .set = {"model.router.kind=expert_choice"}}).difference,
      HasSubstr("whole groups"));
}

// Never a key that the router does not have, or that is set so already.
TEST(UpcyclePlan, AdvisesWhatTheRouterHas) {
  const auto advice = [](int64_t top_k, const std::vector<std::string>& set) {
    const auto plan = plan_of({.n_experts = 8, .top_k = top_k, .set = set});
    EXPECT_THAT(plan.difference, HasSubstr("sum to another number"));
    return plan.advice;
  };
  EXPECT_EQ(advice(2, {"model.router.kind=expert_choice"}), "model.router.kind = \"top_k\" keeps the function");
  EXPECT_EQ(advice(1, {"model.router.kind=base"}),
            "--top-k 2 or more with model.router.kind = \"top_k\" keeps the function");
  EXPECT_EQ(advice(2, {"model.router={renormalize = true, norm_p = 2}"}), "model.router.norm_p = 1 keeps the function");
  EXPECT_EQ(advice(2, {"model.router.renormalize=false"}), "model.router.renormalize = true keeps the function");
}

TEST(UpcyclePlan, TakesKeysOfTheModel) {
  const auto plan = plan_of({.n_experts = 4,
                             .top_k = 2,
                             .n_shared_experts = 2,
                             .set = {"model.router.kind=loss_free", "model.router.score=sigmoid",
                                     "model.moe_layers=[1]", "model.balance={loss = \"switch\", coefficient = 0.1}"}});
  EXPECT_FALSE(plan.config.has_experts(0));
  EXPECT_TRUE(plan.config.has_experts(1));
  EXPECT_EQ(plan.config.d_shared, 48);
  EXPECT_EQ(plan.config.balance.terms.size(), 1U);
  EXPECT_TRUE(plan.has_fixed_sum);  // divided by their sum
}

TEST(UpcyclePlan, RefusesWhatCannotBe) {
  const auto message = [](const UpcycleOptions& options, const std::string& more = "") {
    return message_of<ConfigError>([&] { plan_of(options, more); });
  };
  EXPECT_THAT(message({.n_experts = 4, .top_k = 5}), HasSubstr("--top-k: got 5; need 1..4"));
  EXPECT_THAT(message({.n_experts = 4}), HasSubstr("--top-k: got 0; need 1..4"));
  EXPECT_THAT(message({.n_experts = 10, .top_k = 5, .granularity = 5}), HasSubstr("a divisor of 24"));
  EXPECT_THAT(message({.n_experts = 9, .top_k = 2, .granularity = 2}), HasSubstr("--experts: got 9; need a multiple"));
  EXPECT_THAT(message({.n_experts = 8, .top_k = 3, .granularity = 2}), HasSubstr("--top-k: got 3; need a multiple"));
  EXPECT_THAT(message({.n_experts = 8, .top_k = 2, .ratio = 1.5}), HasSubstr("--ratio: got 1.5; need 0..1"));
  EXPECT_THAT(message({.n_experts = 8, .top_k = 2, .n_shared_experts = 1}, "ffn_bias = true"),
              HasSubstr("--shared: got 1; need 0"));
  EXPECT_THAT(message({.n_experts = 8, .top_k = 2, .set = {"model.d_model=4"}}), HasSubstr("--set model.d_model"));
  EXPECT_THAT(message({.n_experts = 8, .top_k = 2, .set = {"train.seed=4"}}), HasSubstr("train"));
  EXPECT_THAT(message({.n_experts = 8, .top_k = 2, .set = {"model.router.kind=topk"}}), HasSubstr("'topk'; need one"));
  EXPECT_THAT(message({.n_experts = 8, .top_k = 1, .set = {"model.router={kind = \"hash\", by = \"frequency\"}"}}),
              HasSubstr("training data"));
}

const std::string kExperts = "n_experts = 4\ntop_k = 2\nd_expert = 6\n";

TEST(UpcyclePlan, AddsExpertsToAModelThatHasSome) {
  const auto plan = plan_of({.n_experts = 8}, kExperts);
  EXPECT_TRUE(plan.adds_experts);
  EXPECT_EQ(plan.config.n_experts, 8);
  EXPECT_EQ(plan.config.top_k, 2);
  EXPECT_EQ(plan.config.d_expert, 6);
  EXPECT_THAT(plan.advice, HasSubstr("--top-k 4"));
  EXPECT_EQ(plan_of({.n_experts = 6, .top_k = 3}, kExperts).config.top_k, 3);
}

TEST(UpcyclePlan, NamesTheNextCommandWhereThereAreExpertsAlready) {
  const auto message = [](const UpcycleOptions& options, const std::string& more = kExperts) {
    return message_of<ConfigError>([&] { plan_of(options, more); });
  };
  EXPECT_THAT(message({.n_experts = 4}), HasSubstr("need more than the 4 experts that parent has"));
  EXPECT_THAT(message({.n_experts = 4}), HasSubstr("evenkeel train"));
  EXPECT_THAT(message({.n_experts = 8, .granularity = 2}), HasSubstr("--granularity: got 2; need 1"));
  EXPECT_THAT(message({.n_experts = 8, .n_shared_experts = 1}), HasSubstr("--shared"));
  EXPECT_THAT(message({.n_experts = 8, .router_init = RouterInit::torch_rand}), HasSubstr("--router-init"));
  EXPECT_THAT(message({.n_experts = 8, .set = {"model.router.score=sigmoid"}}), HasSubstr("[model.router]"));
  EXPECT_THAT(message({.n_experts = 8}, "n_experts = 4\ntop_k = 1\nd_expert = 6\nrouter = {kind = \"hash\"}"),
              HasSubstr("whose table sends no token to new experts"));
  EXPECT_THAT(message({.n_experts = 7}, kExperts + "router = {n_groups = 2, groups_per_token = 1}"),
              HasSubstr("a divisor of model.n_experts = 7"));
}

}  // namespace
}  // namespace evenkeel::checkpoint
