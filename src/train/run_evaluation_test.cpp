#include "train/run_evaluation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/json_lines.h"
#include "support/trained_runs.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;

class RunEvaluationTest : public testing::RunTest {};

// A model that was trained before is measured before it changes: what it forgets counts from there.
TEST_F(RunEvaluationTest, WeightsFromElsewhereHaveABaseline) {
  train("first");
  const std::string from = "model={from = \"" + (folder_ / "first").string() + "\"}";
  train("second", {from});
  const auto lines = read_json_lines(folder_ / "second" / "metrics.jsonl");
  ASSERT_NE(lines.at(0).find("eval"), nullptr);
  EXPECT_EQ(lines[0].at("step").as_int(), 0);
  const Json results = Json::parse(read_file(folder_ / "second" / "results.json"), "r");
  const Json& forgetting = results.at("tables").at("forgetting").at("rows");
  ASSERT_GT(forgetting.size(), 0U);
  EXPECT_THAT(results.at("headlines").dump(), HasSubstr("(since the end of phase one: "));
  const double baseline = lines[0].at("eval").at("held").at("loss").as_double();
  for (const auto& row : forgetting.as_array())
    EXPECT_DOUBLE_EQ(row.at(5).as_double(), row.at(3).as_double() - baseline);
  const Json& shift = results.at("tables").at("shift_mri").at("rows");
  EXPECT_EQ(shift.at(0).at(1).as_string(), "one");
  double sum = 0;
  for (const auto& layer : lines[0].at("eval").at("held").at("routing").as_array())
    sum += layer.at("mri").as_double() / 2;
  EXPECT_DOUBLE_EQ(shift.at(0).at(4).as_double(), sum);                                 // the mean over its two layers
  EXPECT_EQ(results.at("tables").at("saturation").at("rows").at(0).at(3).as_int(), 0);  // from step 0
  // It is the loss that the first run ended with.
  const auto first = read_json_lines(folder_ / "first" / "metrics.jsonl");
  for (auto line = first.rbegin(); line != first.rend(); ++line) {
    if (line->find("eval") == nullptr) continue;
    EXPECT_DOUBLE_EQ(line->at("eval").at("held").at("loss").as_double(), baseline);
    break;
  }
}

// A set that only a later phase evaluates has a baseline too, and so has a run whose first phase evaluates nothing.
TEST_F(RunEvaluationTest, TheBaselineHasTheSetsOfLaterPhases) {
  train("first");
  const std::string from = "model={from = \"" + (folder_ / "first").string() + "\"}";
  train("second", {from, "phase.two.eval={data = [{name = \"new\", path = \"" + (folder_ / "b").string() + "\"}]}"});
  const auto lines = read_json_lines(folder_ / "second" / "metrics.jsonl");
  ASSERT_EQ(lines.at(0).at("step").as_int(), 0);
  EXPECT_EQ(lines[0].at("eval").size(), 2U);
  const double baseline = lines[0].at("eval").at("new").at("loss").as_double();
  const Json results = Json::parse(read_file(folder_ / "second" / "results.json"), "r");
  int64_t n_rows = 0;
  for (const auto& row : results.at("tables").at("forgetting").at("rows").as_array()) {
    if (row.at(2).as_string() != "new") continue;
    ++n_rows;
    EXPECT_DOUBLE_EQ(row.at(5).as_double(), row.at(3).as_double() - baseline);
  }
  EXPECT_EQ(n_rows, 1);
}

}  // namespace
}  // namespace evenkeel::train
