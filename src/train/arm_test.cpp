#include "train/arm.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "record/run_reader.h"
#include "support/made_arms.h"
#include "support/made_run.h"
#include "train/results.h"

namespace evenkeel::train {
namespace {

using testing::made_evaluation;
using testing::made_result;
using testing::made_step;

std::vector<record::RunLine> lines() {
  std::vector<record::RunLine> out;
  for (int64_t step = 1; step <= 10; ++step) {
    out.emplace_back(made_step(step, step <= 6 ? "one" : "two", {0.5, 0.5}));
    if (step % 2 == 0)
      out.emplace_back(made_evaluation(step, step <= 6 ? "one" : "two",
                                       {{"a", made_result(static_cast<double>(step), {0.5, 0.5})}}));
  }
  return out;
}

Json tables_of(const Arm& arm) {
  auto tables = new_tables();
  add_rows({arm}, tables);
  return tables_json(tables);
}

// Results are a fold: after any line they are those of a run that ended there.
TEST(Arm, GrowsLineByLine) {
  const testing::TemporaryFolder folder;
  const auto config = testing::tiny_config("/data");
  Arm growing = testing::made_arm("run", "run");
  growing.resolved = run_config_json(config);
  std::vector<record::RunLine> so_far;
  for (const auto& line : lines()) {
    so_far.push_back(line);
    add_line(growing, line);
    testing::write_made_run(folder / "run", config, so_far);
    const Arm whole = read_arm("run", "run", folder / "run");
    EXPECT_EQ(tables_of(growing).dump(), tables_of(whole).dump());
    EXPECT_EQ(arm_json(growing, ".").dump(), arm_json(whole, ".").dump());
  }
}

TEST(Arm, KeepsTheRoutingOfTheLastEvaluationOfAPhaseAlone) {
  Arm arm = testing::made_arm("run", "run");
  for (const auto& line : lines()) add_line(arm, line);
  std::vector<int64_t> with_routing;
  for (const auto& evaluation : arm.evaluations)
    if (!evaluation.eval[0].second.routing.empty()) with_routing.push_back(evaluation.step);
  EXPECT_THAT(with_routing, ::testing::ElementsAre(6, 10));
  EXPECT_EQ(arm.evaluations.size(), 5u);
  EXPECT_EQ(final_evaluation(arm, "one")->step, 6);
  EXPECT_EQ(final_evaluation(arm, "three"), nullptr);
  EXPECT_EQ(final_evaluations(arm).size(), 2u);
  EXPECT_EQ(final_result(arm, "two", "a")->loss, 10);
  EXPECT_EQ(final_result(arm, "two", "b"), nullptr);
  EXPECT_EQ(baseline_evaluation(arm)->step, 6);
  EXPECT_EQ(baseline_name(arm), "one");
  EXPECT_EQ(loss_at_end(arm, "a")->value, 10);
}

// The evaluation before training stands for the time before the first phase.
TEST(Arm, OfWeightsFromElsewhereBeginsAtStepZero) {
  Arm arm = testing::made_arm("run", "run", {"phase.one.start={from = \"/runs/first\"}"});
  EXPECT_TRUE(comes_from_elsewhere(arm));
  EXPECT_EQ(step_before_phase(arm, 0), -1);
  EXPECT_EQ(step_before_phase(arm, 1), 6);
  EXPECT_EQ(first_evaluation(arm), nullptr);
  EXPECT_FALSE(baseline_name(arm));  // step 0 was not evaluated
  add_line(arm, made_evaluation(0, "one", {{"a", made_result(1, {0.75, 0.25})}}));
  for (const auto& line : lines()) add_line(arm, line);
  EXPECT_EQ(first_evaluation(arm)->eval[0].second.routing.size(), 2u);
  EXPECT_EQ(baseline_evaluation(arm), first_evaluation(arm));
  EXPECT_EQ(baseline_name(arm), "step 0");
  EXPECT_EQ(arm.phases[0].before(0), 0.5);
  EXPECT_EQ(arm.phases[0].before(1), 0.75);
}

TEST(Arm, IgnoresAPhaseThatTheRecipeNoLongerHas) {
  Arm arm = testing::made_arm("run", "run");
  add_line(arm, made_step(1, "gone", {0.5, 0.5}));
  EXPECT_EQ(arm.phases[0].n_steps() + arm.phases[1].n_steps(), 0);
}

TEST(Arm, ReadsWhatIsWhole) {
  const testing::TemporaryFolder folder;
  testing::write_made_run(folder / "run", testing::tiny_config("/data"), lines());
  std::ofstream(folder / "run" / "metrics.jsonl", std::ios::app) << "{\"step\":11";
  const Arm arm = read_arm("name", "group", folder / "run");
  EXPECT_EQ(arm.phases[1].n_steps(), 4);
  EXPECT_EQ(seed_of(arm), 1);
  EXPECT_EQ(last_phase(arm), "two");
  EXPECT_THROW(read_arm("name", "group", folder / "absent"), DataError);
}

}  // namespace
}  // namespace evenkeel::train
