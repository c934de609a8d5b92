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

// Two layers of four experts; phase one has steps 1 to 6, phase two 7 to 10. `mri` is that of the layers with an alarm
// at the last evaluation, and mri_of_one_ that of both at the end of phase one.
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
      if (step == 6)
        lines.emplace_back(made_evaluation(6, "one", {{"old", made_result(2.0, {mri_of_one_, mri_of_one_})}}));
    }
    std::vector<double> mris = {0.5, 0.5};
    for (const auto& [at, one] : alarms)
      if (one.layer) mris.at(static_cast<size_t>(*one.layer)) = mri;
    auto result = made_result(2.0, mris);
    result.routing[0].dead = 0;
    result.routing[1].dead = dead;
    lines.emplace_back(made_evaluation(10, "two", {{"held", result}}));
    testing::write_made_run(folder_ / name, testing::tiny_config("/data"), lines);
    return read_arm(name, "group", folder_ / name);
  }
  bool has_collapsed(const Arm& arm, const std::string& data) { return !collapsed_on(arm, data).empty(); }
  testing::TemporaryFolder folder_;
  double mri_of_one_ = 0.5;
};

TEST_F(WarningsTest, ATableHasEachAlarmWithItsPlace) {
  auto tables = new_tables();
  add_rows({arm("a", {{1, Alarm(Alarm::kAllLayers, Kind::no_balance, "none")},
                      {8, Alarm(1, Kind::same_experts, "the same")}})},
           tables);
  const Table& table = find_table(tables, "warnings");
  ASSERT_EQ(table.rows.size(), 2U);
  EXPECT_EQ(Json(table.rows[0]).dump(), R"(["a","one",1,null,"no_balance","none",null,1,null,null])");
  EXPECT_EQ(Json(table.rows[1]).dump(), R"(["a","two",8,1,"same_experts","the same",true,1,null,1])");
}

// Phase one is the same in all three, with its seconds; c trained its own phase two. What was over at its end is so in
// each of them, though b's last evaluation has its busiest expert at 0.8. Where it was not, a and c recovered later.
TEST_F(WarningsTest, AnAlarmOfASharedPhaseStandsOnce) {
  const Alarm early = Alarm(1, Kind::same_experts, "the same"), late = Alarm(0, Kind::same_experts, "the same"),
              own = Alarm(Alarm::kAllLayers, Kind::no_balance, "none");
  const auto rows = [&] {
    auto tables = new_tables();
    add_rows({arm("a", {{2, early}, {1, own}, {8, late}}), arm("b", {{2, early}, {1, own}}, 0, 0.8),
              arm("c", {{2, early}, {1, own}, {8, late}})},
             tables);
    std::vector<std::string> out;
    for (const auto& row : find_table(tables, "warnings").rows) out.push_back(Json(row).dump());
    return out;
  };
  const auto expected = [](const char* shared) {
    return ElementsAre(R"(["a","one",1,null,"no_balance","none",null,3,null,null])", shared,
                       R"(["a","two",8,0,"same_experts","the same",true,1,null,1])",
                       R"(["c","two",8,0,"same_experts","the same",true,1,null,1])");
  };
  EXPECT_THAT(rows(), expected(R"(["a","one",2,1,"same_experts","the same",true,3,null,3])"));
  mri_of_one_ = 0.8;
  EXPECT_THAT(rows(), expected(R"(["a","one",2,1,"same_experts","the same",false,3,null,2])"));
}

TEST_F(WarningsTest, ExpertsInUseAreThoseOfTheLastPhasesEvaluation) {
  const auto use = expert_use(arm("a", {}, 1), "held");
  ASSERT_TRUE(use);
  EXPECT_EQ(use->in_use, 7);
  EXPECT_EQ(use->all, 8);
  EXPECT_FALSE(expert_use(arm("c", {}), "old"));  // of the first phase alone
}

TEST_F(WarningsTest, ACollapseThatLastsCounts) {
  EXPECT_FALSE(has_collapsed(arm("whole", {{8, Alarm(Alarm::kAllLayers, Kind::not_causal, "ahead")}}, 2), "held"));
  EXPECT_FALSE(has_collapsed(arm("early", {{2, Alarm(0, Kind::one_expert, "one")}}), "held"));
  EXPECT_FALSE(has_collapsed(arm("over", {{2, Alarm(0, Kind::one_expert, "one")}}, 0, 0.8),
                             "held"));  // at the end of phase one it was in use; no check found another collapse
  EXPECT_TRUE(has_collapsed(arm("late", {{9, Alarm(0, Kind::one_expert, "one")}}, 0, 0.8), "held"));
  EXPECT_FALSE(has_collapsed(arm("recovered", {{9, Alarm(0, Kind::one_expert, "one")}}, 0, 0.7),
                             "held"));  // halfway between 0.5 and 1: 0.75
  EXPECT_TRUE(has_collapsed(arm("last", {{10, Alarm(0, Kind::one_expert, "one")}}, 0, 0.7),
                            "held"));  // no evaluation is after it
  EXPECT_TRUE(has_collapsed(arm("shrunk", {{9, Alarm(0, Kind::no_scores, "none")}}, 0, 0.7), "held"));
  EXPECT_FALSE(has_collapsed(arm("again", {{2, Alarm(0, Kind::no_scores, "none")}}, 0, 0.7),
                             "held"));  // the steps of phase two were looked at anew
  EXPECT_TRUE(has_collapsed(
      arm("both", {{2, Alarm(0, Kind::no_scores, "none")}, {7, Alarm(0, Kind::no_scores, "none")}}, 0, 0.7), "held"));
  EXPECT_TRUE(has_collapsed(arm("dead", {}, 3), "held"));       // a quarter of a layer in use
  EXPECT_FALSE(has_collapsed(arm("elsewhere", {}, 3), "old"));  // on another set
  mri_of_one_ = 0.8;                                            // the end of phase one finds it collapsed
  EXPECT_TRUE(has_collapsed(arm("lasting", {{2, Alarm(0, Kind::one_expert, "one")}}, 0, 0.8), "held"));
  EXPECT_FALSE(has_collapsed(arm("later", {{2, Alarm(0, Kind::one_expert, "one")}}), "held"));
}

TEST_F(WarningsTest, ACollapseIsOfTrainingBatchesOrOfAHeldOutSet) {
  EXPECT_THAT(collapsed_on(arm("a", {}), "held"), IsEmpty());
  EXPECT_THAT(collapsed_on(arm("b", {{9, Alarm(0, Kind::one_expert, "one")}}, 3, 0.8), "held"),
              ElementsAre("training batches", "held-out held"));
}

// Layers 0 and 1 with these MRI and dead experts on a set at an evaluation.
record::EvaluationRow seen(int64_t step, const std::string& phase, const std::string& data, std::vector<double> mri,
                           int64_t dead = 0) {
  auto result = made_result(2.0, mri);
  for (auto& layer : result.routing) layer.dead = dead;
  return made_evaluation(step, phase, {{data, result}});
}

// What no step told of: the held-out text is of another kind.
TEST_F(WarningsTest, AnEvaluationTellsOfACollapseOncePerPhaseLayerAndSet) {
  Arm seen_twice = arm("a", {});
  seen_twice.evaluations.clear();
  for (const int64_t step : {8, 10}) add_line(seen_twice, seen(step, "two", "held", {0.5, 0.99}));
  auto tables = new_tables();
  add_rows({seen_twice}, tables);
  const Table& table = find_table(tables, "warnings");
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(Json(table.rows[0]).dump(),
            R"(["a","two",8,1,"one_expert","nearly all tokens have one and the same expert among their 2 of 4 )"
            R"(experts",false,1,"held",0])");
  EXPECT_TRUE(has_collapsed(seen_twice, "held"));
  EXPECT_THAT(
      collapse_headlines({seen_twice}),
      ElementsAre("group: the router has collapsed in phase two, layer 1, on held-out held, since the evaluation "
                  "of step 8: nearly all tokens have one and the same expert among their 2 of 4 experts."));
  add_line(seen_twice, seen(12, "two", "held", {0.5, 0.6}));
  EXPECT_FALSE(has_collapsed(seen_twice, "held"));
  EXPECT_THAT(
      collapse_headlines({seen_twice}),
      ElementsAre("group: the router was collapsed in phase two, layer 1, on held-out held, from the evaluation "
                  "of step 8 to step 12 at the latest: nearly all tokens had one and the same expert among their "
                  "2 of 4 experts."));
}

TEST_F(WarningsTest, WhatTheStepsToldOfIsNotSaidAgain) {
  const Arm told = arm("a", {{9, Alarm(1, Kind::same_experts, "the same")}}, 3);
  EXPECT_EQ(told.alarms.size(), 1U);
  const Arm of_another_layer = arm("b", {{9, Alarm(0, Kind::same_experts, "the same")}}, 3);
  EXPECT_EQ(of_another_layer.alarms.size(), 2U);
}

TEST_F(WarningsTest, TheEvaluationBeforeTrainingIsLookedAtToo) {
  Arm continued = arm("a", {});
  continued.evaluations.clear();
  add_line(continued, seen(0, "one", "held", {0.5, 0.5}, 3));
  EXPECT_THAT(
      collapse_headlines({continued}),
      ElementsAre("group: the router has collapsed in phase one, layers 0, 1, on held-out held, since the evaluation "
                  "of step 0: more than half of the layer's experts get no token."));
}

TEST_F(WarningsTest, HeadlinesNameGroupPhaseLayersStepAndSeeds) {
  const auto same = [](int64_t layer) {
    return Alarm(layer, Kind::same_experts, "nearly all tokens have the same 2 of 4 experts");
  };
  EXPECT_THAT(collapse_headlines({arm("a", {{8, Alarm(Alarm::kAllLayers, Kind::not_causal, "ahead")}})}), IsEmpty());
  EXPECT_THAT(collapse_headlines({arm("a", {{8, same(1)}}, 0, 0.99)}),
              ElementsAre("group: the router has collapsed in phase two, layer 1, since step 8: nearly all tokens have "
                          "the same 2 of 4 experts."));
  EXPECT_THAT(collapse_headlines({arm("a", {{10, same(1)}})}),  // nothing comes after it
              ElementsAre("group: the router has collapsed in phase two, layer 1, since step 10: nearly all tokens "
                          "have the same 2 of 4 experts."));
  EXPECT_THAT(
      collapse_headlines({arm("a", {{8, same(1)}})}),
      ElementsAre("group: the router was collapsed in phase two, layer 1, from step 8 to step 10 at the latest: "
                  "nearly all tokens had the same 2 of 4 experts."));
  EXPECT_THAT(
      collapse_headlines(
          {arm("a", {{9, same(1)}, {8, same(0)}}, 0, 0.99), arm("b", {}), arm("c", {{7, same(1)}}, 0, 0.99)}),
      ElementsAre("group: the router has collapsed in phase two, layers 0, 1 (not all of them in each seed), "
                  "since step 7 at the earliest, in 2 of 3 seeds: nearly all tokens have the same 2 of 4 experts."));
}

// The table has each phase's alarm; a sentence has the step from which it lasts.
TEST_F(WarningsTest, ACollapseOfAnEarlierPhaseIsAHeadlineToo) {
  const Alarm same(1, Kind::same_experts, "the same");
  EXPECT_THAT(collapse_headlines({arm("a", {{2, same}})}),
              ElementsAre("group: the router was collapsed in phase one, layer 1, from step 2 to step 6 at the latest: "
                          "the same."));
  EXPECT_THAT(collapse_headlines({arm("b", {{2, same}, {7, same}}, 0, 0.99)}),  // a relapse
              ElementsAre("group: the router has collapsed in phase two, layer 1, since step 7: the same; it was "
                          "collapsed in phase one, layer 1, from step 2 to step 6 at the latest: the same."));
  EXPECT_THAT(collapse_headlines({arm("d", {{2, same}, {7, Alarm(0, Kind::same_experts, "the same")}}, 0, 0.99)}),
              ElementsAre("group: the router has collapsed in phase two, layer 0, since step 7; in phase two, layer 1, "
                          "on held-out held, since the evaluation of step 10: the same, or nearly all tokens have one "
                          "and the same expert among their 2 of 4 experts; it was collapsed in phase one, layer 1, "
                          "from step 2 to step 6 at the latest: the same."));
  mri_of_one_ = 0.8;
  EXPECT_THAT(collapse_headlines({arm("e", {{2, same}, {7, same}}, 0, 0.99)}),
              ElementsAre("group: the router has collapsed in phase one, layer 1, since step 2: the same."));
  EXPECT_THAT(collapse_headlines({arm("f", {{2, same}})}),
              ElementsAre("group: the router was collapsed in phase one, layer 1, from step 2 to the end of the phase, "
                          "but no more by step 10 of phase two: the same."));
}

// The verdict on a phase that arms share is one sentence, whatever one of them trained later.
TEST_F(WarningsTest, ASharedPhaseHasOneSentence) {
  const Alarm same(1, Kind::same_experts, "the same");
  std::vector<Arm> arms = {arm("a", {{2, same}}), arm("b", {{2, same}, {8, same}}, 0, 0.99)};
  arms[0].group = "x";
  arms[1].group = "y";
  EXPECT_THAT(collapse_headlines(arms),
              ElementsAre("y: the router has collapsed in phase two, layer 1, since step 8: the same.",
                          "x, y, which share phase one: the router was collapsed in phase one, layer 1, from step 2 to "
                          "step 6 at the latest: the same."));
}

// Shares between the bound of a recovery (0.75) and that of the checks (0.98): neither over nor what the check found.
TEST_F(WarningsTest, ACollapseThatIsPastItsWorstDoesNotTellOfItAsOfNow) {
  const Alarm same(1, Kind::same_experts, "nearly all tokens have the same 2 of 4 experts; the others learn nothing");
  EXPECT_THAT(
      collapse_headlines({arm("a", {{8, same}}, 0, 0.8)}),
      ElementsAre("group: the router has collapsed in phase two, layer 1, since step 8: at its worst nearly all "
                  "tokens had the same 2 of 4 experts."));
  EXPECT_TRUE(has_collapsed(arm("b", {{8, same}}, 0, 0.8), "held"));
}

TEST_F(WarningsTest, HeadlinesCanBeOfLastingOrOfRecoveredCollapsesAlone) {
  const auto one = [](int64_t layer) { return Alarm(layer, Kind::no_scores, "the scores have shrunk"); };
  const std::vector<Arm> arms = {arm("a", {{2, one(0)}, {8, one(1)}})};
  const std::string recovered =
                        "group: the router was collapsed in phase one, layer 0, from step 2 to the end of the "
                        "phase, but no more by step 7 of phase two: the scores had shrunk.",
                    lasting =
                        "group: the router has collapsed in phase two, layer 1, since step 8: the scores have "
                        "shrunk.";
  EXPECT_THAT(
      collapse_headlines(arms),
      ElementsAre("group: the router has collapsed in phase two, layer 1, since step 8: the scores have shrunk; "
                  "it was collapsed in phase one, layer 0, from step 2 to the end of the phase, but no more by "
                  "step 7 of phase two: the scores had shrunk."));
  EXPECT_THAT(collapse_headlines(arms, Collapses::lasting), ElementsAre(lasting));
  EXPECT_THAT(collapse_headlines(arms, Collapses::recovered), ElementsAre(recovered));
}

}  // namespace
}  // namespace evenkeel::train
