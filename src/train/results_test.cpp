#include "train/results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/layout.h"
#include "support/made_run.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::made_evaluation;
using testing::made_result;
using testing::made_step;
using testing::TemporaryFolder;
using testing::tiny_config;

Table rows_of(const Arm& arm, const std::string& table) {
  auto tables = new_tables();
  add_rows({arm}, tables);
  return find_table(tables, table);
}
const Json& cell(const Table& table, size_t row, const std::string& column) {
  return table.rows.at(row).at(table.column(column));
}

// Phase one has 60 steps, phase two 80. Layer 0 leaves 0.5 at the shift and comes back; layer 1 stays at 0.7.
class ShiftTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int64_t step = 1; step <= 60; ++step)
      lines_.push_back(made_step(step, "one", {step <= 10 ? 1.0 : 0.5, 0.5}));  // only the last 50 count
    const std::vector<double> curve = {0.8, 0.9, 0.95, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6};
    for (int64_t i = 1; i <= 80; ++i) {
      double mri = static_cast<size_t>(i) <= curve.size() ? curve[static_cast<size_t>(i) - 1] : 0.5;
      if (i == 70) mri = 1.0;  // later than the 50 steps in which the peak is sought, and before the last eighth
      lines_.push_back(made_step(60 + i, "two", {mri, 0.7}));
    }
  }
  Arm arm(const std::vector<std::string>& overrides = {}) {
    std::vector<std::string> all = {"phase.one.steps=60", "phase.two.steps=80"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    testing::write_made_run(folder_ / "run", tiny_config("/data", all), lines_);
    return read_arm("arm", "group", folder_ / "run");
  }
  TemporaryFolder folder_;
  std::vector<record::RunLine> lines_;
};

TEST_F(ShiftTest, RowsByHand) {
  const auto table = rows_of(arm(), "shift_mri");
  ASSERT_EQ(table.rows.size(), 3u);  // the mean, then each layer
  for (size_t row = 0; row < 3; ++row) {
    EXPECT_EQ(cell(table, row, "arm").as_string(), "arm");
    EXPECT_EQ(cell(table, row, "phase").as_string(), "two");
    EXPECT_EQ(cell(table, row, "lower_bound").as_double(), 0.5);
    EXPECT_DOUBLE_EQ(cell(table, row, "before").as_double(), 0.5);
  }
  EXPECT_TRUE(cell(table, 0, "layer").is_null());
  EXPECT_EQ(cell(table, 1, "layer").as_int(), 0);
  EXPECT_EQ(cell(table, 1, "first").as_double(), 0.8);
  EXPECT_EQ(cell(table, 1, "peak").as_double(), 0.95);
  EXPECT_EQ(cell(table, 1, "peak_step").as_int(), 3);
  // Steps 8..12: (0.6 + 0.6 + 0.5 + 0.5 + 0.5) / 5 = 0.54 <= 0.55; steps 7..11: 0.56.
  EXPECT_EQ(cell(table, 1, "steps_to_recover").as_int(), 12);
  EXPECT_DOUBLE_EQ(cell(table, 1, "after").as_double(), 0.5);
  EXPECT_EQ(cell(table, 2, "peak_step").as_int(), 1);  // the first of equals
  EXPECT_TRUE(cell(table, 2, "steps_to_recover").is_null());
  EXPECT_DOUBLE_EQ(cell(table, 2, "after").as_double(), 0.7);
  EXPECT_DOUBLE_EQ(cell(table, 0, "first").as_double(), 0.75);
  EXPECT_DOUBLE_EQ(cell(table, 0, "peak").as_double(), 0.825);
  EXPECT_TRUE(cell(table, 0, "steps_to_recover").is_null());
}

TEST_F(ShiftTest, RecoveryNeedsFiveSteps) {
  lines_.resize(60);
  for (int64_t i = 1; i <= 6; ++i) lines_.push_back(made_step(60 + i, "two", {i == 1 ? 0.6 : 0.5, 0.5}));
  const auto table = rows_of(arm({"phase.two.steps=6"}), "shift_mri");
  EXPECT_EQ(cell(table, 1, "peak_step").as_int(), 1);
  EXPECT_EQ(cell(table, 1, "steps_to_recover").as_int(), 5);  // 0.52 over the first five
  EXPECT_EQ(cell(table, 1, "after").as_double(), 0.5);        // at least one step
}

TEST_F(ShiftTest, BeforeIsOfThePhaseThatItStartsFrom) {
  ConfigNode root = testing::tiny_recipe("/data", {"phase.one.steps=60", "phase.two.steps=80"});
  merge_config(root, parse_toml("phase=[{name = \"one\"}, {name = \"two\"}, {name = \"three\", steps = 2, data = "
                                "[{name = \"a\", path = \"a\"}], "
                                "schedule = {kind = \"constant\", lr_max = 1e-3}, start = {from = \"one\"}}]",
                                "r.toml", "/data"));
  lines_.push_back(made_step(141, "three", {0.6, 0.6}));
  lines_.push_back(made_step(142, "three", {0.6, 0.6}));
  testing::write_made_run(folder_ / "run", read_run_config(root), lines_);
  const auto table = rows_of(read_arm("arm", "group", folder_ / "run"), "shift_mri");
  ASSERT_EQ(table.rows.size(), 6u);
  EXPECT_EQ(cell(table, 4, "phase").as_string(), "three");
  EXPECT_DOUBLE_EQ(cell(table, 4, "before").as_double(), 0.5);  // steps 11..60, not the end of phase two
  EXPECT_DOUBLE_EQ(cell(table, 5, "before").as_double(), 0.5);
  EXPECT_EQ(cell(table, 4, "first").as_double(), 0.6);
}

// Of a run on trained weights there are no steps before: what stands for them is the old data's held-out text at step
// 0, and that alone.
TEST_F(ShiftTest, BeforeAContinuedRunIsTheOldDataAtStepZero) {
  lines_.clear();
  for (int64_t step = 1; step <= 60; ++step) lines_.push_back(made_step(step, "one", {0.75, 0.75}));
  std::vector<Json> recoveries;
  const auto before = [&](record::BySet<record::SetResult> at_start, std::vector<std::string> overrides = {}) {
    overrides.push_back(
        "phase.one.eval={data = [{name = \"new\", path = \"/data/a-heldout\"}, {name = \"old\", path = \"/data/z\"}]}");
    Arm continued = arm(overrides);
    continued.resolved["phase"].as_array().resize(1);
    continued.resolved["model"]["from"] = "runs/first";
    continued.phases.clear();
    continued.shifts.clear();
    add_line(continued, made_evaluation(0, "one", std::move(at_start)));
    for (const auto& line : lines_) add_line(continued, line);
    std::vector<Json> out;
    const auto table = rows_of(continued, "shift_mri");
    recoveries.clear();
    for (size_t row = 0; row < table.rows.size(); ++row) {
      out.push_back(cell(table, row, "before"));
      recoveries.push_back(cell(table, row, "steps_to_recover"));
    }
    return out;
  };
  EXPECT_THAT(before({{"new", made_result(2.0, {0.875, 0.875})}, {"old", made_result(2.0, {0.5, 0.625})}}),
              ::testing::ElementsAre(Json(0.5625), Json(0.5), Json(0.625)));
  EXPECT_THAT(before({{"new", made_result(2.0, {0.875, 0.875})}}),
              ::testing::Each(Json()));  // another set is no substitute
  // Training batches are other text: they neither rise from it nor recover to it, whatever the figures.
  lines_.clear();
  for (int64_t step = 1; step <= 60; ++step) lines_.push_back(made_step(step, "one", {step < 3 ? 0.75 : 0.5, 0.5}));
  EXPECT_THAT(before({{"old", made_result(2.0, {0.875, 0.875})}}), ::testing::Each(Json(0.875)));
  EXPECT_THAT(recoveries, ::testing::Each(Json()));
  const std::vector<std::string> sinkhorn = {"model.router={kind = \"sinkhorn\"}", "model.balance={loss = []}"};
  EXPECT_THAT(before({{"new", made_result(2.0, {0.875, 0.875})}, {"old", made_result(2.0, {0.5, 0.625})}}, sinkhorn),
              ::testing::Each(Json()));  // a plan is of training alone
  // The old data is what was never drawn, whatever a first step or a weight lets expect.
  const std::vector<std::string> both = {
      "phase.one.data=[{name = \"a\", path = \"/data/a\"}, {name = \"z\", path = \"/data/z\"}]"};
  for (auto& line : lines_) std::get<record::StepRow>(line).sources = {{"a", 4}, {"z", 0}};
  EXPECT_THAT(before({{"new", made_result(2.0, {0.875, 0.875})}, {"old", made_result(2.0, {0.5, 0.625})}}, both),
              ::testing::ElementsAre(Json(0.5625), Json(0.5), Json(0.625)));
  std::get<record::StepRow>(lines_[30]).sources = {{"a", 3}, {"z", 1}};
  EXPECT_THAT(before({{"new", made_result(2.0, {0.875, 0.875})}, {"old", made_result(2.0, {0.5, 0.625})}}, both),
              ::testing::Each(Json()));
}

TEST_F(ShiftTest, DenseModelsHaveNone) {
  for (auto& line : lines_) std::get<record::StepRow>(line).routing = {};
  const auto dense = arm(testing::kTinyDense);
  EXPECT_TRUE(rows_of(dense, "shift_mri").rows.empty());
  EXPECT_TRUE(arm_json(dense, ".").at("lower_bound").is_null());
  EXPECT_EQ(arm_json(dense, ".").at("model").as_string(), "dense");
}

// Losses: held-out "old" 2.5 -> 2.0 in phase one, 2.25 after two; "new" only after phase two.
std::vector<record::RunLine> evaluated_lines() {
  std::vector<record::RunLine> lines;
  for (int64_t step = 1; step <= 6; ++step)
    lines.push_back(made_step(step, "one", {0.5, 0.5}, static_cast<double>(step)));
  lines.insert(lines.begin() + 3, made_evaluation(3, "one", {{"old", made_result(2.5, {0.9, 0.9})}}));
  lines.push_back(made_evaluation(6, "one", {{"old", made_result(2.0, {0.6, 0.7})}}));
  for (int64_t step = 7; step <= 10; ++step)
    lines.push_back(made_step(step, "two", {0.5, 0.5}, static_cast<double>(step)));
  lines.push_back(
      made_evaluation(10, "two", {{"old", made_result(2.25, {0.8, 0.5})}, {"new", made_result(1.5, {0.5, 0.5})}}));
  lines.push_back(record::SaturationRow{10, "two", {{"old", {{0, 1, 6, 10, 0.75, 0.25}}}}});
  return lines;
}

TEST(Results, ForgettingIsAgainstTheEndOfTheFirstPhase) {
  const TemporaryFolder folder;
  testing::write_made_run(folder / "run", tiny_config("/data"), evaluated_lines());
  const auto table = rows_of(read_arm("arm", "group", folder / "run"), "forgetting");
  ASSERT_EQ(table.rows.size(), 3u);
  EXPECT_EQ(Json(table.rows[0]).dump(),
            R"(["arm","one","old",2,20,null,null,null,null,null,null])");  // lines of before there were errors
  EXPECT_EQ(Json(table.rows[1]).dump(), R"(["arm","two","old",2.25,22.5,0.25,null,null,0.25,null,"one"])");
  EXPECT_EQ(Json(table.rows[2]).dump(), R"(["arm","two","new",1.5,15,null,null,null,null,null,null])");
}

// Losses of three windows of 8 tokens, whose mean is the loss.
record::SetResult windows_of(double a, double b, double c) {
  auto result = made_result((a + b + c) / 3, {0.6, 0.7});
  result.loss_se = 0.5;
  result.loss_blocks = record::ClusterMeans{{a, b, c}, {8, 8, 8}};
  return result;
}

TEST(Results, ErrorsOfLossesAndOfTheirPairedChange) {
  const TemporaryFolder folder;
  auto lines = evaluated_lines();
  for (auto& line : lines) {
    if (auto* row = std::get_if<record::EvaluationRow>(&line))
      row->eval = {
          {"old", row->step == 10 ? windows_of(1.5, 2.5, 2.9) : windows_of(1, 2, 2.1)}};  // changes of 0.5, 0.5, 0.8
  }
  testing::write_made_run(folder / "run", tiny_config("/data"), lines);
  const auto table = rows_of(read_arm("arm", "group", folder / "run"), "forgetting");
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(cell(table, 0, "loss_se").as_double(), 0.5);
  EXPECT_TRUE(cell(table, 0, "change_se").is_null());  // of the baseline itself
  EXPECT_NEAR(cell(table, 1, "change").as_double(), 0.6, 1e-12);
  EXPECT_NEAR(cell(table, 1, "change_se").as_double(), 0.1, 1e-12);  // sqrt(0.03) / sqrt(3)
  const auto headlines = run_results(read_arm(folder / "run"), Json::object()).at("headlines");
  EXPECT_EQ(
      headlines.at(0).as_string(),
      "After phase two the held-out loss on old is 2.3 ± 0.5 nats a token (since the end of phase one: +0.6; 95 %: "
      "+0.2 to +1.0).");  // 4.303, Student's of two degrees, times 0.1 to each side
}

TEST(Results, AChangeBelowItsNoiseIsCalledNone) {
  const TemporaryFolder folder;
  auto lines = evaluated_lines();
  for (auto& line : lines) {
    if (auto* row = std::get_if<record::EvaluationRow>(&line))
      row->eval = {
          {"old", row->step == 10 ? windows_of(1.1, 2.3, 2) : windows_of(1, 2, 2.1)}};  // changes of 0.1, 0.3, -0.1
  }
  testing::write_made_run(folder / "run", tiny_config("/data"), lines);
  EXPECT_THAT(run_results(read_arm(folder / "run"), Json::object()).at("headlines").at(0).as_string(),
              HasSubstr("(since the end of phase one: no difference beyond noise: +0.1; 95 %: −0.4 to +0.6)."));
}

TEST(Results, EvaluationAndSaturationRowsAreThoseOfPhaseEnds) {
  const TemporaryFolder folder;
  auto lines = evaluated_lines();
  for (auto& line : lines)
    if (auto* row = std::get_if<record::EvaluationRow>(&line); row != nullptr && row->step == 10)
      row->eval[0].second.routing[0].mri_se = 0.125;
  testing::write_made_run(folder / "run", tiny_config("/data"), lines);
  const auto arm = read_arm("arm", "group", folder / "run");
  const auto mri = rows_of(arm, "eval_mri");
  ASSERT_EQ(mri.rows.size(), 6u);
  EXPECT_EQ(Json(mri.rows[1]).dump(), R"(["arm","one","old",1,0.7,0.9,1,null])");
  EXPECT_EQ(Json(mri.rows[2]).dump(), R"(["arm","two","old",0,0.8,0.9,1,0.125])");
  const auto saturation = rows_of(arm, "saturation");
  ASSERT_EQ(saturation.rows.size(), 1u);
  EXPECT_EQ(Json(saturation.rows[0]).dump(), R"(["arm",0,1,6,10,"old",0.75,0.25,null])");
}

// Of weights that another run left, step 6 is that run's: the row says whose.
TEST(Results, SaturationNamesTheRunThatItsFirstStepIsOf) {
  const TemporaryFolder folder;
  const auto from_run = [&](const std::string& from) {
    testing::write_made_run(folder / "run", tiny_config("/data", {"phase.two.start={from = \"" + from + "\"}"}),
                            evaluated_lines());
    return rows_of(read_arm("arm", "group", folder / "run"), "saturation").rows.at(0).back().dump();
  };
  EXPECT_EQ(from_run("one"), "null");
  for (const char* from : {"/runs/first", "/runs/first/", "/runs/first/checkpoints/step-00000006"})
    EXPECT_EQ(from_run(from), "\"first\"") << from;
}

TEST(Results, DropsAreOfPhaseEndsAndOfArmsWithACapacity) {
  const TemporaryFolder folder;
  auto lines = evaluated_lines();
  for (auto& line : lines) {
    const auto mark = [&](std::vector<record::LayerRouting>& layers) {
      layers[0].dropped = static_cast<double>(step_of(line)) / 100;
      layers[1].dropped = 0.5;
    };
    if (auto* row = std::get_if<record::StepRow>(&line)) mark(row->routing);
    if (auto* row = std::get_if<record::EvaluationRow>(&line))
      for (auto& [data, result] : row->eval) mark(result.routing);
  }
  testing::write_made_run(folder / "run", tiny_config("/data", {"model.capacity={rule = \"switch\"}"}), lines);
  const auto arm = read_arm("arm", "group", folder / "run");
  const auto table = rows_of(arm, "drops");
  std::string text;
  for (const auto& row : table.rows) text += Json(row).dump() + "\n";
  EXPECT_EQ(text, R"(["arm","one",null,null,0.28]
["arm","one",null,0,0.06]
["arm","one",null,1,0.5]
["arm","two",null,null,0.3]
["arm","two",null,0,0.1]
["arm","two",null,1,0.5]
["arm","one","old",null,0.28]
["arm","one","old",0,0.06]
["arm","one","old",1,0.5]
["arm","two","old",null,0.3]
["arm","two","old",0,0.1]
["arm","two","old",1,0.5]
["arm","two","new",null,0.3]
["arm","two","new",0,0.1]
["arm","two","new",1,0.5]
)");
  EXPECT_THAT(
      run_results(read_arm(folder / "run"), Json::object()).at("headlines").dump(),
      HasSubstr("At the end of phase two the experts' capacity drops 30.0 % of the assignments in training (of one "
                "seed, without an interval)."));
  testing::write_made_run(folder / "run", tiny_config("/data"), lines);
  EXPECT_TRUE(rows_of(read_arm("arm", "group", folder / "run"), "drops").rows.empty());
}

TEST(Results, ArmStatesModelPhasesAndPlannedRates) {
  const TemporaryFolder folder;
  const auto config = tiny_config("/data", {"train.seed=7", "phase.two.replay={fraction = 0.25, from = \"one\"}"});
  auto lines = evaluated_lines();
  for (auto& line : lines)  // 3 of 8 sequences, in odd steps 1 of 4 and in even ones 2 of 4
    if (auto* row = std::get_if<record::StepRow>(&line); row != nullptr && row->phase == "two")
      row->sources = {{"b", row->step % 2 == 0 ? 2 : 3}, {"replay/a", row->step % 2 == 0 ? 2 : 1}};
  testing::write_made_run(folder / "run", config, lines);
  const Json arm = arm_json(read_arm("arm-seed7", "arm", folder / "run"), "arms/arm-seed7");
  EXPECT_EQ(arm.at("name").as_string(), "arm-seed7");
  EXPECT_EQ(arm.at("group").as_string(), "arm");
  EXPECT_EQ(arm.at("run").as_string(), "arms/arm-seed7");
  EXPECT_EQ(arm.at("seed").as_int(), 7);
  EXPECT_EQ(arm.at("model").as_string(), "moe");
  EXPECT_EQ(arm.at("router").as_string(), "top_k");
  EXPECT_EQ(arm.at("lower_bound").as_double(), 0.5);
  EXPECT_EQ(arm.at("replay_fraction").as_double(), 0.25);
  const auto counts = model::count_parameters(config.model);
  EXPECT_EQ(arm.at("parameters").as_int(), counts.total);
  EXPECT_EQ(arm.at("active_parameters").as_int(), counts.active);
  EXPECT_EQ(arm.at("flops_per_token").as_double(), model::training_flops_per_token(config.model, 8));
  const Json& two = arm.at("phases").at(1);
  EXPECT_EQ(two.at("steps").as_int(), 4);
  EXPECT_EQ(two.at("tokens").as_int(), 128);  // with what was replayed
  EXPECT_EQ(two.at("replayed").as_double(), 0.375);
  EXPECT_TRUE(arm.at("phases").at(0).at("replayed").is_null());  // its steps do not say it
  EXPECT_EQ(two.at("seconds").as_double(), 7 + 8 + 9 + 10);
  EXPECT_EQ(two.at("first_step").as_int(), 7);
  EXPECT_EQ(two.at("last_step").as_int(), 10);
  const auto& curve = arm.at("lr_curve").as_array();
  ASSERT_EQ(curve.size(), 10u);
  EXPECT_EQ(curve[0].at(0).as_int(), 1);
  EXPECT_EQ(curve[0].at(1).as_double(), 1e-2);
  EXPECT_EQ(curve[9].at(0).as_int(), 10);
  EXPECT_NEAR(curve[9].at(1).as_double(), 1e-3, 1e-12);  // the cosine's end
}

TEST(Results, ModelsAreNamedByTheirKind) {
  const TemporaryFolder folder;
  const auto word = [&](const std::string& model) {
    testing::write_made_run(folder / "run", tiny_config("/data", {"model=" + model}), evaluated_lines());
    return arm_json(read_arm("a", "a", folder / "run"), ".").at("model").as_string();
  };
  EXPECT_EQ(word("{top_k = 1}"), "switch");
  EXPECT_EQ(word("{n_shared_experts = 1}"), "granular");
}

TEST(Results, OfOneRunAreAStudyOfOneArm) {
  const TemporaryFolder folder;
  testing::write_made_run(folder / "my-run", tiny_config("/data"), evaluated_lines());
  const Json results = run_results(read_arm(folder / "my-run"), Json::Object{{"threads", 3}});
  EXPECT_EQ(results.at("schema").as_string(), "evenkeel.results.v1");
  EXPECT_EQ(results.at("kind").as_string(), "run");
  EXPECT_EQ(results.at("title").as_string(), "my-run");
  EXPECT_TRUE(results.at("recipe").is_null());
  EXPECT_EQ(results.at("arms").size(), 1u);
  EXPECT_EQ(results.at("arms").at(0).at("run").as_string(), ".");
  for (const char* table : {"forgetting", "shift_mri", "eval_mri", "saturation"})
    EXPECT_GT(results.at("tables").at(table).at("rows").size(), 0u) << table;
  EXPECT_NE(results.at("definitions").find("MRI"), nullptr);
  ASSERT_EQ(results.at("headlines").size(), 4u);
  EXPECT_EQ(results.at("headlines").at(0).as_string(),
            "After phase two the held-out loss on old is 2.25 nats a token (since the end of phase one: +0.250; its "
            "error is not known).");
  EXPECT_EQ(results.at("headlines").at(1).as_string(),
            "After phase two the held-out loss on new is 1.50 nats a token.");
  EXPECT_EQ(results.at("headlines").at(2).as_string(),
            "At the shift to two the mean MRI of training batches (of one seed, without an interval) goes from 0.50 to "
            "a peak of 0.50 and ends at 0.50; an even load is 0.5.");
  EXPECT_EQ(results.at("headlines").at(3).as_string(),
            "Experts in use in the end, of 8 in all layers: 6 on held-out old, 6 on held-out new.");
  // What was written to disk reads back, also where a figure does not exist.
  EXPECT_EQ(Json::parse(results.dump(), "t").at("tables").at("shift_mri").at("rows").size(), 3u);
}

// A collapse that is over is no answer: it stands after what the run came to.
TEST(Results, ARecoveredCollapseIsTheLastHeadlineAndARow) {
  const TemporaryFolder folder;
  auto lines = evaluated_lines();
  for (auto& line : lines)
    if (auto* row = std::get_if<record::StepRow>(&line); row != nullptr && row->phase == "two") {
      row->alarms = {{1, record::Alarm::Kind::same_experts, "nearly all tokens have the same 2 of 4 experts"}};
      break;
    }
  testing::write_made_run(folder / "run", tiny_config("/data"), lines);
  const Json results = run_results(read_arm(folder / "run"), Json::object());
  const auto& headlines = results.at("headlines").as_array();
  EXPECT_EQ(headlines.front().as_string().find("After phase two the held-out loss on old is "), 0U);
  EXPECT_EQ(headlines.back().as_string(),
            "run: the router was collapsed in phase two, layer 1, from step 7 to step 10 at the latest: nearly all "
            "tokens had the same 2 of 4 experts.");
  EXPECT_EQ(results.at("tables").at("warnings").at("rows").dump(),
            R"([["run","two",7,1,"same_experts","nearly all tokens have the same 2 of 4 experts",true,1,null,1]])");
}

// By the last evaluation alone: the first sentence says so, and each one on balance.
TEST(Results, ARouterWithMostExpertsUnusedIsNeverGoodNews) {
  const TemporaryFolder folder;
  auto lines = evaluated_lines();
  for (auto& line : lines)
    if (auto* row = std::get_if<record::EvaluationRow>(&line))
      for (auto& [data, result] : row->eval) result.routing[0].dead = 3;
  testing::write_made_run(folder / "run",
                          tiny_config("/data", {"phase.one.eval={data = [{name = \"old\", path = \"/data/a-heldout\"}, "
                                                "{name = \"new\", path = \"/data/b-heldout\"}]}"}),
                          lines);
  const Json headlines = run_results(read_arm(folder / "run"), Json::object()).at("headlines");
  EXPECT_EQ(headlines.at(0).as_string(),
            "run: the router has collapsed in phase one, layer 0, on held-out old, since the evaluation of step 3; "
            "in phase two, layer 0, on held-out new, since the evaluation of step 10: more than half of the layer's "
            "experts get no token.");
  int64_t n_of_balance = 0;
  for (const auto& sentence : headlines.as_array()) {
    const bool is_of_balance = sentence.as_string().find("MRI") != std::string::npos ||
                               sentence.as_string().find("Experts in use") != std::string::npos;
    n_of_balance += is_of_balance ? 1 : 0;
    EXPECT_EQ(is_of_balance, sentence.as_string().ends_with("The router has collapsed on held-out new."))
        << sentence.as_string();
  }
  EXPECT_EQ(n_of_balance, 2);
}

TEST(Results, ATableThatIsNotThereIsOurBug) {
  auto tables = new_tables();
  EXPECT_THROW(find_table(tables, "forgotten"), std::logic_error);
}

// Expert choice: said once, in the headlines of a run too; its bound on MRI is that of the experts a token gets.
TEST(RouterNotes, SayWhichRouterIsNotCausal) {
  const TemporaryFolder folder;
  const auto arm_of = [&](const std::string& name, const std::string& router) {
    testing::write_made_run(folder / name,
                            tiny_config("/data", {"model.router=" + router, "model.balance={loss = []}"}),
                            {made_step(1, "one", {0.5, 0.5})});
    return read_arm(name, name, folder / name);
  };
  const auto causal = arm_of("causal", "{kind = \"top_k\"}"),
             chosen = arm_of("chosen", "{kind = \"expert_choice\", factor = 1.5}");
  EXPECT_TRUE(router_notes({causal}).empty());
  const auto notes = router_notes({causal, chosen, chosen});
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr("expert_choice is not causal"));
  EXPECT_THAT(run_results(read_arm(folder / "chosen"), Json::object()).at("headlines").dump(), HasSubstr("not causal"));
  EXPECT_EQ(run_results(read_arm(folder / "causal"), Json::object()).at("headlines").size(), 0u);
  EXPECT_EQ(arm_json(chosen, ".").at("lower_bound").as_double(), 1.5 / 4);
  EXPECT_EQ(arm_json(causal, ".").at("lower_bound").as_double(), 0.5);
}

TEST(RouterNotes, SayWhichCapacityRuleIsNotCausal) {
  const TemporaryFolder folder;
  const auto notes_of = [&](const std::string& capacity) {
    testing::write_made_run(folder / "run", tiny_config("/data", {"model.capacity=" + capacity}),
                            {made_step(1, "one", {0.5, 0.5})});
    return router_notes({read_arm("a", "a", folder / "run")});
  };
  EXPECT_TRUE(notes_of("{rule = \"none\"}").empty());
  EXPECT_TRUE(notes_of("{rule = \"megablocks\"}").empty());
  ASSERT_EQ(notes_of("{rule = \"switch\"}").size(), 1u);  // k = 2
  EXPECT_THAT(notes_of("{rule = \"switch\"}")[0],
              HasSubstr("The capacity rule switch is not causal: a token's drops depend on later tokens"));
}

}  // namespace
}  // namespace evenkeel::train
