#include "train/warnings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/made_run.h"

namespace evenkeel::train {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::made_evaluation;
using testing::made_result;
using testing::made_step;

using Kind = record::Alarm::Kind;
using record::Alarm;

// Two layers of four experts; phase one has steps 1 to 6, phase two 7 to 10.
class WarningsTest : public ::testing::Test {
 protected:
  Arm arm(const std::string& name, const std::vector<std::pair<int64_t, Alarm>>& alarms, int64_t dead = 0,
          double mri = 0.5) {
    std::vector<record::RunLine> lines;
    for (int64_t step = 1; step <= 10; ++step) {
      auto line = made_step(step, step <= 6 ? "one" : "two", {0.5, 0.5}, name == "c" && step > 6 ? 0.25 : 0.5);
      for (const auto& [at, one] : alarms)
        if (at == step) line.alarms.push_back(one);
      lines.emplace_back(std::move(line));
      if (step == 6) lines.emplace_back(made_evaluation(6, "one", {{"old", made_result(2.0, {0.5, 0.5})}}));
    }
    auto result = made_result(2.0, {mri, mri});
    result.routing[0].dead = 0;
    result.routing[1].dead = dead;
    lines.emplace_back(made_evaluation(10, "two", {{"held", result}}));
    testing::write_made_run(folder_ / name, testing::tiny_config("/data"), lines);
    return read_arm(name, "group", folder_ / name);
  }
  testing::TemporaryFolder folder_;
};

TEST_F(WarningsTest, ATableHasEachAlarmWithItsPlace) {
  auto tables = new_tables();
  add_rows({arm("a", {{1, Alarm(Alarm::kAllLayers, Kind::no_balance, "none")},
                      {8, Alarm(1, Kind::same_experts, "the same")}})},
           tables);
  const Table& table = find_table(tables, "warnings");
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(Json(table.rows[0]).dump(), R"(["a","one",1,null,"no_balance","none",null,1])");
  EXPECT_EQ(Json(table.rows[1]).dump(), R"(["a","two",8,1,"same_experts","the same",true,1])");
}

// Phase one is the same in all three, with its seconds; c trained its own phase two. What is over in a and c is not in
// b, whose last evaluation has its busiest expert at 0.8.
TEST_F(WarningsTest, AnAlarmOfASharedPhaseStandsOnce) {
  const Alarm early = Alarm(1, Kind::same_experts, "the same"), late = Alarm(0, Kind::same_experts, "the same"),
              own = Alarm(Alarm::kAllLayers, Kind::no_balance, "none");
  const std::vector<Arm> arms = {arm("a", {{2, early}, {1, own}, {8, late}}), arm("b", {{2, early}, {1, own}}, 0, 0.8),
                                 arm("c", {{2, early}, {1, own}, {8, late}})};
  auto tables = new_tables();
  add_rows(arms, tables);
  std::vector<std::string> rows;
  for (const auto& row : find_table(tables, "warnings").rows) rows.push_back(Json(row).dump());
  EXPECT_THAT(rows, ElementsAre(R"(["a","one",1,null,"no_balance","none",null,3])",
                                R"(["a","one",2,1,"same_experts","the same",false,3])",
                                R"(["a","two",8,0,"same_experts","the same",true,1])",
                                R"(["c","two",8,0,"same_experts","the same",true,1])"));
}

TEST_F(WarningsTest, ExpertsInUseAreThoseOfTheLastPhasesEvaluation) {
  const auto use = expert_use(arm("a", {}, 1), "held");
  ASSERT_TRUE(use);
  EXPECT_EQ(use->in_use, 7);
  EXPECT_EQ(use->all, 8);
  EXPECT_FALSE(use->is_rare_in_a_layer);
  EXPECT_TRUE(expert_use(arm("b", {}, 3), "held")->is_rare_in_a_layer);
  EXPECT_FALSE(expert_use(arm("c", {}), "old"));  // of the first phase alone
}

TEST_F(WarningsTest, ACollapseOfTheLastPhaseCounts) {
  EXPECT_FALSE(has_collapsed(arm("whole", {{8, Alarm(Alarm::kAllLayers, Kind::not_causal, "ahead")}}, 2), "held"));
  EXPECT_FALSE(has_collapsed(arm("early", {{2, Alarm(0, Kind::one_expert, "one")}}), "held"));
  EXPECT_TRUE(has_collapsed(arm("late", {{9, Alarm(0, Kind::one_expert, "one")}}, 0, 0.8), "held"));
  EXPECT_FALSE(has_collapsed(arm("recovered", {{9, Alarm(0, Kind::one_expert, "one")}}, 0, 0.7),
                             "held"));  // halfway between 0.5 and 1: 0.75
  EXPECT_TRUE(has_collapsed(arm("last", {{10, Alarm(0, Kind::one_expert, "one")}}, 0, 0.7),
                            "held"));  // no evaluation is after it
  EXPECT_TRUE(has_collapsed(arm("shrunk", {{9, Alarm(0, Kind::no_scores, "none")}}, 0, 0.7), "held"));
  EXPECT_TRUE(has_collapsed(arm("dead", {}, 3), "held"));  // a quarter of a layer in use
}

TEST_F(WarningsTest, HeadlinesNameGroupPhaseLayersStepAndSeeds) {
  const auto same = [](int64_t layer) {
    return Alarm(layer, Kind::same_experts, "nearly all tokens have the same 2 of 4 experts");
  };
  EXPECT_THAT(collapse_headlines({arm("a", {{2, same(0)}, {8, Alarm(Alarm::kAllLayers, Kind::not_causal, "ahead")}})}),
              IsEmpty());
  EXPECT_THAT(collapse_headlines({arm("a", {{8, same(1)}}, 0, 0.8)}),
              ElementsAre("group: the router collapsed in phase two, layer 1, from step 8: nearly all tokens have the "
                          "same 2 of 4 experts."));
  EXPECT_THAT(collapse_headlines({arm("a", {{8, same(1)}})}),
              ElementsAre("group: the router collapsed in phase two, layer 1, for a time after step 8, and has "
                          "recovered at the last evaluation: nearly all tokens have the same 2 of 4 experts."));
  EXPECT_THAT(collapse_headlines(
                  {arm("a", {{9, same(1)}, {8, same(0)}}, 0, 0.8), arm("b", {}), arm("c", {{7, same(1)}}, 0, 0.8)}),
              ElementsAre("group: the router collapsed in phase two, layers 0, 1 (not all of them in each seed), from "
                          "step 7 at the earliest, in 2 of 3 seeds: nearly all tokens have the same 2 of 4 experts."));
}

}  // namespace
}  // namespace evenkeel::train
