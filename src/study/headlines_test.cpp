#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "study/comparison.h"
#include "study/tables.h"
#include "support/made_run.h"

namespace evenkeel::study {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using train::Arm;

Arm arm_of(const std::string& name, const std::string& group, const std::vector<std::string>& overrides) {
  Arm arm;
  arm.name = name;
  arm.group = group;
  arm.resolved = train::run_config_json(testing::tiny_config("/data", overrides));
  return arm;
}

const std::string kReplay = "phase.two.replay={fraction = 0.25, from = \"one\"}";

// Phase one learns "a", phase two "b". Arms: dense, moe with two seeds, without and with replay.
class HeadlinesTest : public ::testing::Test {
 protected:
  HeadlinesTest() : tables_(train::new_tables()) {
    arms_ = {arm_of("dense", "dense", testing::kTinyDense), arm_of("moe-seed1", "moe", {}), arm_of("moe-seed2", "moe", {"train.seed=2"}),
             arm_of("moe-r25-seed1", "moe-r25", {kReplay}), arm_of("moe-r25-seed2", "moe-r25", {kReplay, "train.seed=2"})};
  }
  void forgetting(const std::string& arm, double change, double new_loss) {
    auto& table = train::find_table(tables_, "forgetting");
    table.add_row({arm, "one", "a", 9.0, 9.0, 0.0});  // not of the last phase
    table.add_row({arm, "two", "a", 3.0, 9.0, change});
    table.add_row({arm, "two", "b", new_loss, 9.0, Json()});
  }
  void shift(const std::string& arm, double before, double first, double peak, double after) {
    auto& table = train::find_table(tables_, "shift_mri");
    table.add_row({arm, "two", Json(), 0.25, before, first, peak, 3, Json(), after});
    table.add_row({arm, "two", 0, 0.25, 9.0, 9.0, 9.0, 3, Json(), 9.0});  // a layer: only the mean counts
  }
  std::vector<Arm> arms_;
  train::NamedTables tables_;
};

TEST_F(HeadlinesTest, CompareForgettingReplayAndBalance) {
  forgetting("dense", 0.50, 2.0);
  forgetting("moe-seed1", 0.30, 2.0);
  forgetting("moe-seed2", 0.50, 2.2);
  forgetting("moe-r25-seed1", 0.10, 2.5);
  forgetting("moe-r25-seed2", 0.10, 2.5);
  shift("moe-seed1", 0.4, 0.8, 1.2, 0.4);
  shift("moe-seed2", 0.4, 0.4, 0.4, 0.6);
  shift("moe-r25-seed1", 0.4, 0.5, 0.6, 0.4);
  EXPECT_THAT(study_headlines(arms_, tables_),
              ElementsAre("Without replay the MoE models forget no more than the dense one of the same FLOPs: +0.40 to +0.40 nats a token on a against +0.50.",
                          "moe-r25: with 25 % of each batch replayed, forgetting on a is +0.10 nats instead of +0.40; the loss on b is 2.50 instead of 2.10.",
                          "moe: at the shift MRI is 1.50 times what it was, at most 2.00 times in the first 50 steps, and 1.25 times at the end."));
}

TEST_F(HeadlinesTest, TheVerdictFollowsTheFigures) {
  forgetting("dense", 0.20, 2.0);
  forgetting("moe-seed1", 0.30, 2.0);
  EXPECT_THAT(study_headlines(arms_, tables_).at(0), HasSubstr("MoE models forget more than the dense one"));
  arms_.push_back(arm_of("other", "other", {}));
  forgetting("other", 0.10, 2.0);
  EXPECT_THAT(study_headlines(arms_, tables_).at(0), HasSubstr("forget about as much as the dense one of the same FLOPs: +0.10 to +0.30"));
}

TEST_F(HeadlinesTest, LossesThatFallAreComparedTheSameWay) {
  forgetting("dense", -0.100, 2.0);
  forgetting("moe-seed1", -0.099, 2.0);
  EXPECT_THAT(study_headlines(arms_, tables_).at(0), HasSubstr("forget about as much as"));
}

TEST_F(HeadlinesTest, TheSameFlopsAreSaidWhereTheyAre) {
  arms_ = {arm_of("dense", "dense", testing::kTinyDense), arm_of("moe", "moe", {}), arm_of("wide", "wide", {"model.d_expert=60"})};
  for (const char* arm : {"dense", "moe", "wide"}) forgetting(arm, 0.30, 2.0);
  const double dense = training_flops_per_token(arms_[0]), moe = training_flops_per_token(arms_[1]), wide = training_flops_per_token(arms_[2]);
  char ratio[64];
  std::snprintf(ratio, sizeof ratio, "%.2f to %.2f times its FLOPs", moe / dense, wide / dense);
  EXPECT_THAT(study_headlines(arms_, tables_), ElementsAre(AllOf(HasSubstr("the dense one, at "), HasSubstr(ratio), Not(HasSubstr("same FLOPs")))));
  arms_.pop_back();
  tables_ = train::new_tables();
  for (const char* arm : {"dense", "moe"}) forgetting(arm, 0.30, 2.0);
  EXPECT_THAT(study_headlines(arms_, tables_), ElementsAre(HasSubstr("the dense one of the same FLOPs")));
}

TEST_F(HeadlinesTest, ReplayIsComparedWithTheArmThatDiffersInNothingElse) {
  arms_ = {arm_of("moe", "moe", {}), arm_of("moe-wide-r25", "moe-wide-r25", {kReplay, "model.d_expert=60"}), arm_of("other", "other", {"train.seed=9"}), arm_of("again", "again", {kReplay, "train.seed=9"})};
  forgetting("moe", 0.9, 1.0);
  forgetting("moe-wide-r25", 0.8, 1.0);
  forgetting("other", 0.40, 2.0);
  forgetting("again", 0.10, 2.5);
  EXPECT_THAT(study_headlines(arms_, tables_), ElementsAre("again: with 25 % of each batch replayed, forgetting on a is +0.10 nats instead of +0.40; the loss on b is 2.50 instead of 2.00."));
}

TEST_F(HeadlinesTest, OtherBudgetsAndDataDoNotCompare) {
  arms_ = {arm_of("dense", "dense", testing::kTinyDense), arm_of("longer", "longer", {"phase.two.steps=8"})};
  for (const char* arm : {"dense", "longer"}) forgetting(arm, 0.30, 2.0);
  EXPECT_TRUE(study_headlines(arms_, tables_).empty());
  // The second phase goes on with the same data: nothing shifts.
  const std::string same = "phase.two.data=[{name = \"a\", path = \"/data/a\"}]";
  arms_ = {arm_of("steady", "steady", {same}), arm_of("steady-r25", "steady-r25", {same, kReplay})};
  tables_ = train::new_tables();
  for (const char* arm : {"steady", "steady-r25"}) {
    forgetting(arm, 0.30, 2.0);
    shift(arm, 0.4, 0.8, 1.2, 0.4);
  }
  EXPECT_TRUE(study_headlines(arms_, tables_).empty());
}

TEST_F(HeadlinesTest, NothingIsSaidWhereNothingCompares) {
  EXPECT_TRUE(study_headlines(arms_, tables_).empty());
  EXPECT_TRUE(study_headlines({}, tables_).empty());
  forgetting("moe-seed1", 0.30, 2.0);
  EXPECT_TRUE(study_headlines(arms_, tables_).empty());  // no dense figures, no replay, no shift
}

// The table `routers` with what the sentences read.
TEST_F(HeadlinesTest, OfManyRoutersTheBestAndTheWorst) {
  const std::vector<Arm> arms = {arm_of("a-1", "a", {}), arm_of("a-2", "a", {}), arm_of("b", "b", {}), arm_of("ahead", "ahead", {}), arm_of("dense", "dense", testing::kTinyDense)};
  Table table;
  for (const char* name : {"arm", "router", "capacity", "eval_causal", "new_data", "lower_bound", "loss_new", "mri_before", "mri_peak", "eval_mri_new"}) table.columns.push_back({name, ""});
  table.rows = {{"a-1", "top_k", "none", true, "b", 0.125, 2.0, 0.2, 0.6, 0.50},
                {"a-2", "top_k", "none", true, "b", 0.125, 3.0, 0.2, 0.8, 0.70},
                {"b", "hash", "none", true, "b", 0.125, 2.75, 0.4, 0.4, 0.25},
                {"ahead", "expert_choice", "none", false, "b", 0.125, 0.5, Json(), Json(), 0.125},
                {"dense", Json(), Json(), Json(), "b", Json(), 0.1, Json(), Json(), Json()}};
  tables_.emplace_back("routers", table);
  EXPECT_THAT(study_headlines(arms, tables_),
              ElementsAre("Of 2 routing rules that do not look ahead at evaluation a has the lowest loss on b in the end, 2.50 nats a token, and b the highest, 2.75.",
                          "At the shift the busiest expert's share of a training batch rises at most to 1.0 times what it was under b, and to 3.5 times under a.",
                          "On held-out b the busiest expert gets 12 % of the tokens under ahead and 60 % under a; an even load is 12.5 %."));
  // Two arms of one rule are not two rules, and an arm with another budget is left out.
  auto others = arms;
  others.push_back(arm_of("b-again", "b-again", {}));
  others.push_back(arm_of("longer", "longer", {"phase.two.steps=8"}));
  auto& rows = train::find_table(tables_, "routers").rows;
  rows.push_back({"b-again", "hash", "none", true, "b", 0.0625, 2.75, 0.4, 0.4, 0.25});
  rows.push_back({"longer", "top_k", "none", true, "b", 0.125, 1.0, 0.1, 0.9, 0.99});
  const auto more = study_headlines(others, tables_);
  EXPECT_THAT(more.at(0), HasSubstr("Of 3 arms with routers that do not look ahead at evaluation a has the lowest loss on b in the end, 2.50"));
  EXPECT_THAT(more.at(2), AllOf(HasSubstr("60 % under a"), HasSubstr("an even load is 6.2 to 12.5 %")));
}

}  // namespace
}  // namespace evenkeel::study
