#include "train/forgetting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/made_arms.h"
#include "support/made_run.h"
#include "train/results.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::made_evaluation;
using testing::made_result;

const std::string kThird =
    "phase=[{name = \"one\"}, {name = \"two\"}, {name = \"three\", steps = 2, data = [{name = \"c\", path = "
    "\"/data/c\"}], schedule = {kind = \"constant\", lr_max = 1e-3}";

// Phases one on "a" (6 steps), two on "b" (4) and, where `three` continues it, three on "c" (2). Sets a, b, other; each
// loss is the step's number, other's ten times that.
Arm arm_of(const std::vector<std::string>& overrides, const std::string& three = "") {
  std::vector<std::string> all = {
      "phase.one.eval={every = \"2 steps\", data = [{name = \"a\", path = \"/held/a\"}, {name = \"new\", path = "
      "\"/data/b-heldout\"}, {name = \"other\", path = \"/held/c\"}]}"};
  all.insert(all.end(), overrides.begin(), overrides.end());
  ConfigNode root = testing::tiny_recipe("/data", all);
  if (!three.empty()) merge_config(root, parse_toml(kThird + three, "r.toml", "/data"));
  Arm arm;
  arm.name = arm.group = "arm";
  arm.resolved = run_config_json(read_run_config(root));
  return arm;
}
void evaluate(Arm& arm, int64_t step, const std::string& phase) {
  const auto loss = static_cast<double>(step);
  add_line(arm,
           made_evaluation(step, phase,
                           {{"a", made_result(loss)}, {"new", made_result(loss)}, {"other", made_result(10 * loss)}}));
}
std::string against(const Arm& arm, size_t phase, const std::string& data) {
  const auto found = forgetting_baseline(arm, phase, data);
  return found ? found->name + " " + Json(found->loss.value).dump() : "none";
}

TEST(Forgetting, OfARunFromNothingIsSinceTheLastPhaseThatTrainedOnTheSet) {
  Arm arm = arm_of({}, "}]");
  for (const int64_t step : {2, 6}) evaluate(arm, step, "one");
  for (const int64_t step : {8, 10}) evaluate(arm, step, "two");
  evaluate(arm, 12, "three");
  EXPECT_EQ(against(arm, 0, "a"), "none");  // nothing was learned before
  EXPECT_EQ(against(arm, 1, "a"), "one 6");
  EXPECT_EQ(against(arm, 1, "new"), "one 6");  // no phase before had it: since the end of the first
  EXPECT_EQ(against(arm, 2, "a"), "one 6");
  EXPECT_EQ(against(arm, 2, "new"), "two 10");  // by its file
  EXPECT_EQ(against(arm, 2, "other"), "one 60");
  EXPECT_EQ(against(arm, 2, "absent"), "none");
  EXPECT_EQ(forgetting_at_end(arm, "new")->value, 2);
}

// What its first phase trains on is learned there: since step 0 it has fallen, since that phase it has risen.
TEST(Forgetting, OfAContinuedRunOfTwoPhasesHasTheSignOfWhatHappened) {
  const testing::TemporaryFolder folder;
  const auto line = [](int64_t step, const std::string& phase, double a, double other) {
    return made_evaluation(step, phase, {{"a", made_result(a, {0.5, 0.5})}, {"other", made_result(other, {0.5, 0.5})}});
  };
  const auto config = testing::tiny_config(
      "/data",
      {"phase.one.start={from = \"/runs/first\"}",
       "phase.one.eval={data = [{name = \"a\", path = \"/held/a\"}, {name = \"other\", path = \"/held/c\"}]}"});
  std::vector<record::RunLine> lines = {line(0, "one", 5, 3)};
  for (int64_t step = 1; step <= 10; ++step) {
    lines.push_back(testing::made_step(step, step <= 6 ? "one" : "two", {0.5, 0.5}));
    if (step == 6) lines.push_back(line(6, "one", 2, 3.5));
  }
  lines.push_back(line(10, "two", 2.5, 3.25));
  testing::write_made_run(folder / "run", config, lines);
  const Json results = run_results(read_arm(folder / "run"), Json::object());
  const auto& rows = results.at("tables").at("forgetting").at("rows").as_array();
  ASSERT_EQ(rows.size(), 4U);  // change, change_se, forgetting, forgetting_se, against
  const auto last_of = [&](size_t row) {
    std::vector<Json> cells(rows[row].as_array().begin() + 5, rows[row].as_array().end());
    return (cells.erase(cells.begin() + 1), Json(cells).dump());
  };
  EXPECT_EQ(last_of(0), R"([-3,null,-3,null,"step 0"])");
  EXPECT_EQ(last_of(2), R"([-2.5,null,0.5,null,"one"])");
  EXPECT_EQ(last_of(3), R"([0.25,null,0.25,null,"step 0"])");
  EXPECT_EQ(
      results.at("headlines").at(0).as_string(),
      "After phase two the held-out loss on a is 2.50 nats a token (since the end of phase one: +0.500; its error "
      "is not known).");
  EXPECT_EQ(results.at("headlines").at(1).as_string(),
            "After phase two the held-out loss on other is 3.25 nats a token (since step 0: +0.250; its error is not "
            "known).");
}

TEST(Forgetting, OfAPhaseIsAgainstThoseThatItsWeightsComeThrough) {
  Arm arm = arm_of({}, ", start = {from = \"one\", step = 4}}]");
  for (const int64_t step : {2, 4, 6}) evaluate(arm, step, "one");
  evaluate(arm, 10, "two");
  evaluate(arm, 12, "three");
  EXPECT_EQ(against(arm, 2, "a"), "one 4");    // from the middle of phase one
  EXPECT_EQ(against(arm, 2, "new"), "one 4");  // phase two is of another branch
  Arm elsewhere = arm_of({}, ", start = {from = \"/runs/first\"}}]");
  evaluate(elsewhere, 6, "one");
  evaluate(elsewhere, 12, "three");
  EXPECT_EQ(against(elsewhere, 2, "a"), "none");  // nothing of this run is in its weights
}

TEST(Forgetting, WithoutAnEvaluationThereIsNone) {
  Arm arm = arm_of({"phase.one.start={from = \"/runs/first\"}"});
  evaluate(arm, 10, "two");
  EXPECT_EQ(against(arm, 1, "a"), "none");      // phase one trained on it; step 0 would be no substitute
  EXPECT_EQ(against(arm, 1, "other"), "none");  // step 0
  EXPECT_FALSE(forgetting_at_end(arm, "a"));
}

TEST(Forgetting, ReplayDoesNotCountAsTraining) {
  Arm arm = arm_of({"phase.two.replay={fraction = 0.5, from = \"one\"}"}, "}]");
  evaluate(arm, 6, "one");
  evaluate(arm, 10, "two");
  evaluate(arm, 12, "three");
  EXPECT_EQ(against(arm, 2, "a"), "one 6");
}

TEST(Forgetting, BaselinesHaveWords) {
  EXPECT_EQ(baseline_words(kStepZero), "step 0");
  EXPECT_EQ(baseline_words("one"), "the end of phase one");
}

}  // namespace
}  // namespace evenkeel::train
