#include "train/check_lines.h"

#include <cmath>

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
    row.loss_terms = {
        {"cross_entropy", 2.97}, {"balance", 2}, {"z", 10}};  // 2.97 + 0.01 * 2 + 0.001 * 10 is its loss, 3
    row.sources = {{phase == "two" ? "b" : "a", 4}};
    return row;
  }
  static record::EvaluationRow evaluation(int64_t number, const std::string& phase) {
    auto result = testing::made_result(2, {0.7, 0.6});
    result.perplexity = std::exp(2);
    return testing::made_evaluation(number, phase, {{"held", result}});
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
  check(evaluation(6, "one"));
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
  other = step(2, "one", 2);
  other.tokens_per_second = 65;
  EXPECT_THAT(message(other),
              HasSubstr("got 65 as 'tokens_per_second' of step 2; need 64, 32 tokens in its 'seconds'"));
}

TEST_F(LineCheckTest, NamesObjectivesThatAreNotOfThePhaseOrTheSet) {
  auto row = step(1, "one", 1);
  row.objective = "causal";
  check(row);
  row.objective = "ul2";
  EXPECT_THAT(message(row), HasSubstr("got 'ul2' as 'objective'; need 'causal', that of phase 'one' in resolved.json"));
  auto scored = evaluation(1, "one");
  scored.eval[0].second.objective = "ul2";
  EXPECT_THAT(message(scored), HasSubstr("got 'ul2' as 'objective' of 'held'; need 'causal', as resolved.json says"));
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
  auto dead = evaluation(1, "one");
  dead.eval[0].second.routing[1].dead = 5;
  EXPECT_THAT(message(dead), HasSubstr("got 5 as 'dead' of layer 1; need at most 4"));
  record::SaturationRow saturation{1, "one", {{"held", {{.layer = 2, .k = 1}}}}};
  EXPECT_THAT(message(saturation), HasSubstr("got the saturation of layer 2; need one of [0,1]"));
}

TEST_F(LineCheckTest, NamesSourcesAndSetsThatAreNotOfThePhase) {
  auto row = step(1, "one", 1);
  row.sources = {{"b", 4}};
  EXPECT_EQ(message(row), "m.jsonl, line 3: got the source 'b'; need those of phase 'one' in resolved.json: a");
  row.sources = {{"a", 3}, {"replay/a", 1}};
  EXPECT_THAT(message(row), HasSubstr("got the source 'replay/a'; need those of phase 'one'"));
  row.sources = {{"a", 3}};
  EXPECT_THAT(message(row), HasSubstr("got 3 sequences of all 'sources' together; need 4, the batch_size"));
  auto held = evaluation(6, "one");
  held.eval.emplace_back("more", held.eval[0].second);
  EXPECT_THAT(message(held), HasSubstr("got the held-out sets held, more; need held, those of resolved.json"));
  held.eval = {{"other", held.eval[0].second}};
  EXPECT_THAT(message(held), HasSubstr("got the held-out sets other; need held"));
  record::SaturationRow saturation{6, "one", {{"other", {{.layer = 1, .k = 1}}}}};
  EXPECT_THAT(message(saturation), HasSubstr("got the saturation on 'other'; need one of resolved.json: held"));
}

// What any phase evaluates is measured before the first step, so that each change has a baseline.
TEST_F(LineCheckTest, ABaselineHasTheSetsOfAllPhases) {
  config_ = testing::tiny_config("/data", {"phase.two.eval={data = [{name = \"new\", path = \"b\"}, "
                                           "{name = \"held\", path = \"a-heldout\"}]}"});
  resolved_ = run_config_json(config_);
  auto baseline = evaluation(0, "one");
  EXPECT_THAT(message(baseline), HasSubstr("got the held-out sets held; need held, new, those of resolved.json"));
  baseline.eval.emplace_back("new", baseline.eval[0].second);
  check(baseline);
  baseline.step = 6;
  EXPECT_THAT(message(baseline), HasSubstr("got the held-out sets held, new; need held, those of resolved.json"));
}

TEST_F(LineCheckTest, ReplayedSourcesAreThoseOfTheEarlierPhase) {
  config_ = testing::tiny_config("/data", {"phase.two.replay={fraction = 0.25, from = \"one\"}"});
  resolved_ = run_config_json(config_);
  auto row = step(7, "two", 1);
  row.sources = {{"b", 3}, {"replay/a", 1}};
  check(row);
  row.sources = {{"b", 3}, {"replay/b", 1}};
  EXPECT_THAT(message(row),
              HasSubstr("got the source 'replay/b'; need those of phase 'two' in resolved.json: b, replay/a"));
  resolved_["phase"].as_array()[1]["replay"]["from"] = "of-the-start";  // which a start brought along
  check(row);
}

TEST_F(LineCheckTest, ALossIsTheSumOfItsTerms) {
  auto row = step(1, "one", 1);
  row.loss = 3.01;
  EXPECT_EQ(message(row),
            "m.jsonl, line 3: got 3.01 as 'loss'; need 3, the sum of its 'loss_terms', each times its coefficient in "
            "resolved.json");
  row.loss = 3.0 + 1e-12;  // the order of a sum
  check(row);
  row.loss_terms.pop_back();
  EXPECT_THAT(message(row), HasSubstr("got the terms cross_entropy, balance in 'loss_terms'; need cross_entropy, "
                                      "balance, z, those of resolved.json"));
}

TEST_F(LineCheckTest, DropsNeedACapacity) {
  auto row = step(1, "one", 1);
  row.routing[1].dropped = 0.25;
  EXPECT_THAT(message(row), HasSubstr("got 0.25 as 'dropped' of layer 1; need 0, since resolved.json has no rule"));
  auto held = evaluation(6, "one");
  held.eval[0].second.routing[0].dropped = 0.5;
  EXPECT_THAT(message(held), HasSubstr("got 0.5 as 'dropped' of layer 0; need 0"));
  config_ = testing::tiny_config("/data", {"model.capacity={rule = \"megatron-probs\"}"});
  resolved_ = run_config_json(config_);
  check(row);
}

TEST_F(LineCheckTest, StepsHaveNoStandardErrorOfTheMri) {
  auto row = step(1, "one", 1);
  row.routing[0].mri_se = 0.1;
  EXPECT_THAT(message(row), HasSubstr("got 0.1 as 'mri_se' of layer 0 of a step; need none"));
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
  row.loss_terms = {{"cross_entropy", 3}, {"z", 10}};
  row.routing[0].mri = 0.9;
  check(row);
}

}  // namespace
}  // namespace evenkeel::train
