#include "train/check_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/made_lines.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;

// Of the tiny recipe: phase one of 6 steps and phase two of 4, of 32 tokens a step, two layers of 4 experts, top 2.
class LineCheckTest : public ::testing::Test {
 protected:
  static record::StepRow step(int64_t number, const std::string& phase, int64_t phase_step) {
    auto row = testing::made_step(number, phase, {1.0, 1.0});  // 2 experts a token, the busiest's load is 0.5
    row.phase_step = phase_step;
    return row;
  }
  void check(const record::RunLine& line) const { LineCheck(resolved_, config_.model).check(line, "m.jsonl, line 3"); }
  std::string message(const record::RunLine& line) const {
    return testing::message_of<DataError>([&] { check(line); });
  }
  RunConfig config_ = testing::tiny_config("/data");
  Json resolved_ = run_config_json(config_);
};

TEST_F(LineCheckTest, TakesTheLinesOfTheRecipe) {
  check(step(1, "one", 1));
  check(step(6, "one", 6));
  check(step(7, "two", 1));
  check(step(10, "two", 4));
  check(testing::made_evaluation(6, "one", {{"held", testing::made_result(2, {0.7, 0.6})}}));
  EXPECT_EQ(LineCheck(resolved_, config_.model).n_steps(), 10);
}

TEST_F(LineCheckTest, NamesWhatIsNotOfTheRecipe) {
  EXPECT_EQ(message(step(1, "three", 1)),
            "m.jsonl, line 3: got the phase 'three'; need one of resolved.json: one, two");
  EXPECT_THAT(message(step(7, "one", 7)), HasSubstr("got step 7 in phase 'one'; need 'two', as resolved.json says"));
  EXPECT_THAT(message(step(8, "two", 1)), HasSubstr("got 1 as 'phase_step' of step 8; need 2"));
  EXPECT_THAT(message(step(11, "two", 5)), HasSubstr("got step 11; need at most 10, the steps of resolved.json"));
  auto other = step(2, "one", 2);
  other.tokens = 65;
  EXPECT_THAT(message(other), HasSubstr("got 65 as 'tokens' of step 2; need 64"));
}

TEST_F(LineCheckTest, NamesWhatIsNotOfTheModel) {
  auto row = step(1, "one", 1);
  row.routing.pop_back();
  EXPECT_THAT(message(row), HasSubstr("got 1 layer of 'routing'; need 2, the layers with experts of resolved.json"));
  row = step(1, "one", 1);
  row.routing[1].layer = 99;
  EXPECT_THAT(message(row), HasSubstr("got the layers [0,99] in 'routing'; need [0,1], those with experts"));
  row = step(1, "one", 1);
  row.routing[0].mri = 0.9;
  EXPECT_THAT(message(row), HasSubstr("got 0.9 as 'mri' of layer 0; need 1, the largest share of its 'load' times 2 "
                                      "experts a token"));
  row = step(1, "one", 1);
  testing::set_load(row.routing[0], {0.5, 0.5, 0});
  EXPECT_THAT(message(row), HasSubstr("got 3 shares in a 'load'; need 4, the experts of resolved.json"));
  auto evaluation = testing::made_evaluation(1, "one", {{"held", testing::made_result(2, {0.7, 0.6})}});
  evaluation.eval[0].second.routing[1].dead = 5;
  EXPECT_THAT(message(evaluation), HasSubstr("got 5 as 'dead' of layer 1; need at most 4"));
  record::SaturationRow saturation{1, "one", {{"held", {{.layer = 2, .k = 1}}}}};
  EXPECT_THAT(message(saturation), HasSubstr("got the saturation of layer 2; need one of [0,1]"));
}

TEST_F(LineCheckTest, ARecipeThatWasChangedOnTheWayMayHaveHadOtherPhases) {
  Json before = resolved_;
  before["phase"].as_array()[0]["name"] = "zero";
  resolved_["changed"] = Json::Array{Json::Object{{"step", 3}, {"changes", Json::Array{"x"}}, {"from", before}}};
  check(step(1, "zero", 1));
  check(step(11, "two", 7));
  EXPECT_THAT(message(step(1, "three", 1)),
              HasSubstr("got the phase 'three'; need one of resolved.json: one, two, zero"));
}

TEST_F(LineCheckTest, WhereATokenHasAnyNumberOfExpertsTheMriIsNotThatOfTheLoad) {
  config_ = testing::tiny_config("/data", {"model.router={kind = \"expert_choice\"}", "model.balance={loss = []}"});
  resolved_ = run_config_json(config_);
  auto row = step(1, "one", 1);
  row.routing[0].mri = 0.9;
  check(row);
}

}  // namespace
}  // namespace evenkeel::train
