#include "study/outcomes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/made_arms.h"
#include "support/made_lines.h"

namespace evenkeel::study {
namespace {

using testing::made_arm;
using train::Arm;

// Phase one learns "a", phase two "b".
TEST(Outcomes, AreThoseOfTheLastPhase) {
  auto tables = train::new_tables();
  auto& forgetting = train::find_table(tables, "forgetting");
  forgetting.add_row({"moe", "one", "a", 9.0, 9.0, Json(), 0.01, Json(), Json(), Json(), Json()});
  forgetting.add_row({"moe", "two", "a", 3.0, 9.0, 9.0, 0.01, 9.0, 0.5, 0.02, "one"});
  forgetting.add_row({"moe", "two", "b", 2.0, 9.0, Json(), 0.03, Json(), Json(), Json(), Json()});
  auto& shift = train::find_table(tables, "shift_mri");
  shift.add_row({"moe", "two", Json(), 0.5, 0.6, 0.7, 0.9, 3, Json(), 0.65});
  shift.add_row({"moe", "two", 0, 0.5, 0.1, 0.1, 0.1, 3, Json(), 0.1});
  auto& mri = train::find_table(tables, "eval_mri");
  mri.add_row({"moe", "one", "b", 0, 0.1, 0.9, 0, Json()});
  for (const double value : {0.5, 0.75}) mri.add_row({"moe", "two", "b", 0, value, 0.9, 0, Json()});
  mri.add_row({"moe", "two", "a", 0, 0.99, 0.9, 0, Json()});
  Table tokens, tasks;
  for (const char* name : {"arm", "data", "loss", "tokens", "reference"}) tokens.columns.push_back({name, ""});
  tokens.rows = {{"moe", "a", 3.5, 96, "dense"}};
  for (const char* name : {"arm", "phase", "task", "accuracy"}) tasks.columns.push_back({name, ""});
  tasks.rows = {{"moe", "one", "quiz", 0.1}, {"moe", "two", "quiz", 0.25}, {"moe", "two", "none", Json()}};
  tables.emplace_back("tokens_to_loss", tokens);
  tables.emplace_back("tasks", tasks);
  const auto out = outcomes_of({made_arm("moe", "moe"), made_arm("dense", "dense", testing::kTinyDense)}, tables);
  const Outcome& moe = out.at("moe");
  EXPECT_EQ(moe.forgetting.value().value, 0.5);
  EXPECT_EQ(moe.forgetting->se, 0.02);
  EXPECT_EQ(moe.against, "one");
  EXPECT_EQ(moe.loss_new.value().value, 2.0);
  EXPECT_EQ(moe.loss_new->se, 0.03);
  EXPECT_EQ(moe.mri_before, 0.6);
  EXPECT_EQ(moe.mri_first, 0.7);
  EXPECT_EQ(moe.mri_peak, 0.9);
  EXPECT_EQ(moe.mri_end, 0.65);
  EXPECT_EQ(moe.eval_mri.value().value, 0.625);
  EXPECT_EQ(moe.eval_mri_old.value().value, 0.99);
  EXPECT_FALSE(moe.eval_mri->se);  // no evaluation says it
  EXPECT_EQ(moe.even_load, 0.5);
  EXPECT_EQ(moe.tokens_to_loss, 96);
  EXPECT_EQ(moe.target_loss, 3.5);
  EXPECT_EQ(moe.target_of, "dense at the end of phase one");
  EXPECT_TRUE(std::isnan(moe.tokens_interval));  // no evaluation is there
  EXPECT_EQ(moe.accuracy, (std::map<std::string, double>{{"quiz", 0.25}}));
  EXPECT_TRUE(std::isnan(moe.experts_in_use));  // nothing was evaluated
  EXPECT_FALSE(moe.has_collapsed());
  EXPECT_FALSE(moe.is_own_target);  // nothing was evaluated
  EXPECT_EQ(moe.target_group, "dense");
  const Outcome& dense = out.at("dense");
  EXPECT_FALSE(dense.forgetting || dense.loss_new);
  for (const double none : {dense.mri_peak, dense.even_load, dense.tokens_to_loss}) EXPECT_TRUE(std::isnan(none));
}

TEST(Outcomes, KnowTheErrorOfTheImbalanceByTheText) {
  Arm arm = made_arm("moe", "moe");
  auto result = testing::made_result(2.0, {0.5, 0.75});
  result.mri_se = 0.0625;
  arm.evaluations = {testing::made_evaluation(10, "two", {{"b", result}})};
  auto tables = train::new_tables();
  train::add_rows({arm}, tables);
  const auto out = outcomes_of({arm}, tables);
  EXPECT_EQ(out.at("moe").eval_mri.value().value, 0.625);
  EXPECT_EQ(out.at("moe").eval_mri->se, 0.0625);
}

// Evaluations after 64, 160 and 192 tokens; the one in between is of another set.
TEST(Outcomes, KnowHowFinelyTheTokensToALossAreKnown) {
  Arm arm = made_arm("moe", "moe");
  arm.evaluations = {testing::made_evaluation(2, "one", {{"a", testing::made_result(4.0)}}),
                     testing::made_evaluation(4, "one", {{"b", testing::made_result(4.0)}}),
                     testing::made_evaluation(5, "one", {{"a", testing::made_result(3.0)}}),
                     testing::made_evaluation(6, "one", {{"a", testing::made_result(2.0)}})};
  const auto interval = [&](const Json& tokens) {
    Table table;
    for (const char* name : {"arm", "data", "loss", "tokens", "reference"}) table.columns.push_back({name, ""});
    table.rows = {{"moe", "a", 3.5, tokens, "moe"}};
    return outcomes_of({arm}, {{"tokens_to_loss", table}}).at("moe").tokens_interval;
  };
  EXPECT_EQ(interval(160), 96);
  EXPECT_EQ(interval(192), 32);
  EXPECT_EQ(interval(64), 64);  // since the start
  EXPECT_TRUE(std::isnan(interval(Json())));
}

TEST(Outcomes, KnowExpertsInUseAndCollapse) {
  Arm arm = made_arm("moe", "moe");
  auto result = testing::made_result(2.0, {0.5, 0.5});
  result.routing[0].dead = 3;  // one of four is left in layer 0; layer 1 has one dead
  train::add_line(arm, testing::made_evaluation(10, "two", {{"b", result}}));
  const auto out = outcomes_of({arm}, train::new_tables());
  EXPECT_EQ(out.at("moe").experts_in_use, 4);
  EXPECT_EQ(out.at("moe").experts, 8);
  EXPECT_EQ(out.at("moe").collapsed_on, std::vector<std::string>{"held-out b"});
}

TEST(Outcomes, SayWhereAndInHowManySeedsARouterHasCollapsed) {
  const Outcome sound, lost{.collapsed_on = {"training batches"}},
      both{.collapsed_on = {"held-out b", "training batches"}};
  EXPECT_EQ(collapse_words({&sound, &sound}), "");
  EXPECT_EQ(collapse_words({&lost}), "has collapsed on training batches");
  EXPECT_EQ(collapse_words({&sound, &lost}), "has collapsed on training batches, in 1 of 2 seeds");
  EXPECT_EQ(collapse_words({&lost, &both}), "has collapsed on training batches, held-out b, in 2 of 2 seeds");
}

// The loss that an arm ends its own first phase with is one that it reaches whatever happens.
TEST(Outcomes, KnowATargetThatIsTheArmsOwn) {
  Arm arm = made_arm("moe", "moe");
  arm.evaluations = {testing::made_evaluation(6, "one", {{"a", testing::made_result(3.5)}})};
  for (const double target : {3.5, 3.25}) {
    Table table;
    for (const char* name : {"arm", "data", "loss", "tokens", "reference"}) table.columns.push_back({name, ""});
    table.rows = {{"moe", "a", target, 192, "moe"}};
    EXPECT_EQ(outcomes_of({arm}, {{"tokens_to_loss", table}}).at("moe").is_own_target, target == 3.5);
  }
}

}  // namespace
}  // namespace evenkeel::study
