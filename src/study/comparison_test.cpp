#include "study/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/made_arms.h"
#include "support/tiny_run.h"

namespace evenkeel::study {
namespace {

using ::testing::Not;
using train::Arm;

Arm arm_of(const std::vector<std::string>& overrides) {
  Arm arm;
  arm.resolved = train::run_config_json(testing::tiny_config("/data", overrides));
  return arm;
}

TEST(FlopMatch, HoldsWithinTheToleranceOfTheLeast) {
  FlopMatch match;
  match.add(200);
  EXPECT_TRUE(match.holds());
  match.add(210);
  EXPECT_TRUE(match.holds());
  EXPECT_EQ(match.least, 200);
  EXPECT_EQ(match.most, 210);
  match.add(199.9);
  EXPECT_FALSE(match.holds());
}

TEST(RecipeWithoutReplay, TellsArmsThatDifferInMoreThanReplayAndSeed) {
  const auto plain = recipe_without_replay(arm_of({}));
  for (const std::string same : {"train.seed=7", "phase.two.replay={fraction = 0.5, from = \"one\"}",
                                 "train.keep_last=0", "phase.one.eval.max_tokens=8"})
    EXPECT_EQ(recipe_without_replay(arm_of({same})), plain) << same;
  for (const std::string other :
       {"model.d_expert=7", "optimizer.eps=1e-6", "train.micro_batch_size=2", "phase.two.steps=5",
        "phase.one.schedule.lr_max=0.5", "phase.two.freeze=[\"head.weight\"]"})
    EXPECT_THAT(recipe_without_replay(arm_of({other})), Not(plain)) << other;
}

TEST(RecipeWithoutReplay, IsThatOfToday) {
  Arm before = arm_of({});
  before.resolved["model"]["router"].erase("renormalize_one");  // an earlier version had no such key
  EXPECT_EQ(recipe_without_replay(before), recipe_without_replay(arm_of({})));
}

TEST(Budget, IsDataAndTokensOfEachPhase) {
  const auto plain = budget_of(arm_of({}));
  EXPECT_EQ(plain, R"([[[["a",1]],192],[[["b",1]],128]])");
  EXPECT_EQ(budget_of(arm_of({"model.d_expert=7"})), plain);
  EXPECT_EQ(budget_of(arm_of({"phase.two.schedule.lr_max=0.5"})), plain);
  EXPECT_THAT(budget_of(arm_of({"phase.two.steps=5"})), Not(plain));
  EXPECT_THAT(budget_of(arm_of({"phase.two.data=[{name = \"c\", path = \"c\"}]"})), Not(plain));
}

TEST(Comparison, SaysWhatDiffersBesidesTheRouting) {
  const auto differences = [](const std::vector<Arm>& arms) {
    return comparison_json(arms).at("other_differences").dump();
  };
  EXPECT_EQ(differences({arm_of(testing::kTinyDense), arm_of({"model.router.renormalize=true"}),
                         arm_of({"model.balance.coefficient=0.5", "train.seed=4"})}),
            "[]");
  EXPECT_EQ(differences({arm_of({}), arm_of({"model.d_expert=7"}),
                         arm_of({"model.d_expert=8", "phase.two.schedule.lr_max=0.5"})}),
            R"(["model.d_expert","phase.two.schedule.lr_max"])");
  // A source may have any name, also that of a key which does not count.
  const auto with_source = [](const std::string& path) {
    return arm_of({"train.keep_last=" + std::to_string(path.size()),
                   "phase.two.data=[{name = \"eval\", path = \"" + path + "\"}]"});
  };
  EXPECT_EQ(differences({with_source("/a"), with_source("/bc")}), R"(["phase.two.data.eval.path"])");
}

TEST(RoutingWords, NameRouterLossesAndCapacity) {
  const auto words = [](const std::vector<std::string>& overrides) {
    const auto found = routing_words(arm_of(overrides));
    return found.router + " | " + found.balance + " | " + found.z_loss + " | " + found.capacity;
  };
  EXPECT_EQ(words({}), "top_k | switch 0.01 | 0.001 | none");
  EXPECT_EQ(
      words({"model.router={kind = \"sinkhorn\"}", "model.balance={loss = []}", "model.capacity={rule = \"switch\"}"}),
      "sinkhorn | none | none | switch");
  EXPECT_EQ(words(testing::kTinyDense), "none | none | none | none");
}

TEST(Replay, IsOfTheLastPhaseOrOfAny) {
  const auto with = [](const std::string& phase) {
    return arm_of({"phase." + phase + ".replay={fraction = 0.25, data = [{name = \"c\", path = \"c\"}]}"});
  };
  EXPECT_EQ(replay_fraction(arm_of({})), 0);
  EXPECT_EQ(replay_fraction(with("two")), 0.25);
  EXPECT_EQ(replay_fraction(with("one")), 0);
  EXPECT_TRUE(has_replay(with("one")));
  EXPECT_FALSE(has_replay(arm_of({})));
  EXPECT_TRUE(shifts_data(arm_of({})));
  EXPECT_FALSE(shifts_data(arm_of({"phase.two.data=[{name = \"a\", path = \"/data/a\"}]"})));
  EXPECT_FALSE(
      shifts_data(arm_of({"phase.two.data=[{name = \"a\", path = \"/data/a\"}, "
                          "{name = \"b\", path = \"/data/b\", weight = 1e-9}]"})));  // of b comes none
}

TEST(Comparison, HasTheFlopsOfAllArms) {
  const auto narrow = arm_of({}), wide = arm_of({"model.d_expert=60"});
  const Json flops = comparison_json({wide, narrow}).at("flops_per_token");
  EXPECT_EQ(flops.at("least").as_double(), training_flops_per_token(narrow));
  EXPECT_EQ(flops.at("most").as_double(), training_flops_per_token(wide));
  EXPECT_EQ(flops.at("matched"), Json(false));
  EXPECT_EQ(comparison_json({narrow, narrow}).at("flops_per_token").at("matched"), Json(true));
}

TEST(Comparison, SeedsThatContinueOneModelShareTheirStart) {
  const auto arm = [](int64_t seed, const std::string& from, const std::string& group = "moe") {
    std::vector<std::string> overrides = {};
    if (!from.empty()) overrides.push_back("phase.one.start={from = \"" + from + "\"}");
    return testing::seeded_arm(group, overrides, seed);
  };
  EXPECT_TRUE(seeds_share_start({arm(1, "/runs/first"), arm(2, "/runs/first")}));
  EXPECT_FALSE(seeds_share_start({arm(1, "/runs/first-1"), arm(2, "/runs/first-2")}));  // a pre-training each
  EXPECT_FALSE(seeds_share_start({arm(1, "/runs/first"), arm(1, "/runs/first", "other")}));
  EXPECT_FALSE(seeds_share_start({arm(1, ""), arm(2, "")}));
  const auto json = comparison_json({arm(1, "/runs/first"), arm(2, "/runs/first")});
  EXPECT_EQ(json.at("seeds_share_start"), Json(true));
}

}  // namespace
}  // namespace evenkeel::study
