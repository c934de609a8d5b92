#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

// Phase one learns "a", phase two "b". Arms: dense, moe with two seeds, moe with replay.
class HeadlinesTest : public ::testing::Test {
 protected:
  HeadlinesTest() : tables_(train::new_tables()) {
    arms_ = {arm_of("dense", "dense", testing::kTinyDense), arm_of("moe-seed1", "moe", {}), arm_of("moe-seed2", "moe", {}),
             arm_of("moe-r25", "moe-r25", {"phase.two.replay={fraction = 0.25, from = \"one\"}"})};
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
  forgetting("moe-r25", 0.10, 2.5);
  shift("moe-seed1", 0.4, 0.8, 1.2, 0.4);
  shift("moe-seed2", 0.4, 0.4, 0.4, 0.6);
  shift("moe-r25", 0.4, 0.5, 0.6, 0.4);
  EXPECT_THAT(study_headlines(arms_, tables_),
              ElementsAre("Without replay the MoE models forget no more than the dense one of the same FLOPs: +0.40 to +0.40 nats a token on a against +0.50.",
                          "moe-r25: replaying 25 % of a turns +0.40 nats of forgetting into +0.10; the loss on b is 2.50 instead of 2.10.",
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
  for (const char* name : {"arm", "router", "eval_causal", "new_data", "lower_bound", "loss_new", "mri_before", "mri_peak", "eval_mri_new"}) table.columns.push_back({name, ""});
  table.rows = {{"a-1", "top_k", true, "b", 0.125, 2.0, 0.2, 0.6, 0.50},
                {"a-2", "top_k", true, "b", 0.125, 3.0, 0.2, 0.8, 0.70},
                {"b", "hash", true, "b", 0.125, 2.75, 0.4, 0.4, 0.25},
                {"ahead", "expert_choice", false, "b", 0.125, 0.5, Json(), Json(), 0.125},
                {"dense", Json(), Json(), "b", Json(), 0.1, Json(), Json(), Json()}};
  tables_.emplace_back("routers", table);
  EXPECT_THAT(study_headlines(arms, tables_),
              ElementsAre("Of 2 routing rules that do not look ahead at evaluation a has the lowest loss on b in the end, 2.50 nats a token, and b the highest, 2.75.",
                          "At the shift the busiest expert's share of a training batch rises at most to 1.0 times what it was under b, and to 3.5 times under a.",
                          "On held-out b the busiest expert gets 12 % of the tokens under ahead and 60 % under a; an even load is 12.5 %."));
}

}  // namespace
}  // namespace evenkeel::study
