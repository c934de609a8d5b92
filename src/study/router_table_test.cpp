#include "study/router_table.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "study/comparison.h"
#include "study/tables.h"
#include "support/made_arms.h"
#include "support/made_run.h"
#include "train/shift_sets.h"

namespace evenkeel::study {
namespace {

using ::testing::ElementsAre;
using testing::made_step;
using train::Arm;

record::SetResult result_of(double loss, double first_mri, double second_mri, std::vector<double> first_load,
                            std::vector<double> second_load) {
  auto result = testing::made_result(loss, {first_mri, second_mri});
  testing::set_load(result.routing[0], std::move(first_load));
  testing::set_load(result.routing[1], std::move(second_load));
  return result;
}

// Runs of two phases of 6 steps, on "old" and then on "new"; two layers of 4 experts.
class RouterTable : public ::testing::Test {
 protected:
  // dropped: of the layers in every step of the second phase; mri: of both layers from the first step of it on.
  Arm add(const std::string& name, const std::string& group, std::vector<std::string> overrides,
          std::pair<double, double> dropped = {0, 0}, double mri = 0.95) {
    overrides.insert(overrides.begin(),
                     {"phase.one.steps=6", "phase.two.steps=6", "phase.one.data=[{name = \"old\", path = \"/a\"}]",
                      "phase.two.data=[{name = \"new\", path = \"/b\"}]"});
    std::vector<record::RunLine> lines;
    for (int64_t step = 1; step <= 12; ++step) {
      const bool is_second = step > 6;
      auto line = made_step(step, is_second ? "two" : "one", {step == 7 ? mri : 0.5, step == 7 ? mri : 0.7});
      line.routing[0].dropped = is_second ? dropped.first : 0.99;
      line.routing[1].dropped = is_second ? dropped.second : 0.99;
      lines.push_back(line);
      if (step == 6)
        lines.push_back(testing::made_evaluation(6, "one",
                                                 {{"old", result_of(3.0, 0.5, 0.5, {1, 0, 0, 0}, {1, 0, 0, 0})},
                                                  {"new", result_of(9.0, 0.5, 0.5, {1, 0, 0, 0}, {1, 0, 0, 0})}}));
    }
    lines.push_back(
        testing::made_evaluation(12, "two",
                                 {{"old", result_of(5.5, 0.6, 0.8, {0.5, 0.5, 0, 0}, {0.25, 0.25, 0.25, 0.25})},
                                  {"new", result_of(4.0, 0.5, 1.0, {0.5, 0, 0.5, 0}, {1, 0, 0, 0})}}));
    std::get<record::EvaluationRow>(lines.back()).eval[1].second.mri_se = 0.125;
    for (auto& line : lines) {
      if (group != "dense") break;
      if (auto* row = std::get_if<record::StepRow>(&line)) row->routing = {};
      if (auto* row = std::get_if<record::EvaluationRow>(&line))
        for (auto& [data, result] : row->eval) result.routing = {};
    }
    testing::write_made_run(folder_ / name, testing::tiny_config("/data", overrides), lines);
    return train::read_arm(name, group, folder_ / name);
  }
  static std::vector<std::string> router(const std::string& keys) {
    return {"model.balance={loss = []}", "model.router={" + keys + "}"};
  }
  testing::TemporaryFolder folder_;
};

TEST_F(RouterTable, HasAllFiguresOfAnArm) {
  const std::vector<Arm> arms = {add("plain", "plain", {"model.capacity={rule = \"switch\"}"}, {0.25, 0.5}),
                                 add("plan", "plan", router("kind = \"sinkhorn\"")),
                                 add("choice", "choice", router("kind = \"expert_choice\""))};
  auto tables = study_tables(arms, {});
  const auto& table = train::find_table(tables, "routers");
  ASSERT_EQ(table.rows.size(), 3u);
  const auto at = [&](size_t row, const char* column) { return table.rows[row][table.column(column)]; };
  EXPECT_EQ(
      Json(table.rows[0]).dump(),
      R"(["plain","top_k","switch","micro-batch","sequence",false,false,"switch 0.01","old","new",0.5,8,3,5.5,4,2.5,0.6,0.95,6,0.7,0.75,0.375,1,null,0.125,null,null,null,null])");
  EXPECT_EQ(at(1, "scope"), Json("micro-batch"));
  EXPECT_EQ(at(1, "eval_scope"), Json("token"));
  EXPECT_EQ(at(1, "causal"), Json(false));
  EXPECT_EQ(at(1, "eval_causal"), Json(true));
  EXPECT_EQ(at(1, "balance"), Json("none"));
  EXPECT_EQ(at(1, "dropped"), Json(0.0));
  EXPECT_EQ(at(2, "eval_scope"), Json("sequence"));
  EXPECT_EQ(at(2, "eval_causal"), Json(false));
}

// The last phase holds the old data too, and lists them first.
TEST_F(RouterTable, HasTheNewDataOfTheHeadlines) {
  const std::string mixed = "phase.two.data=[{name = \"old\", path = \"/a\"}, {name = \"new\", path = \"/b\"}]";
  auto sinkhorn = router("kind = \"sinkhorn\""), random = router("kind = \"random\"");
  sinkhorn.push_back(mixed);
  random.push_back(mixed);
  const std::vector<Arm> arms = {add("a", "a", {mixed}), add("b", "b", sinkhorn), add("c", "c", random)};
  auto tables = study_tables(arms, {});
  const auto& table = train::find_table(tables, "routers");
  for (size_t row = 0; row < table.rows.size(); ++row) {
    EXPECT_EQ(table.rows[row][table.column("new_data")], Json(train::shift_sets(arms[row]).new_data));
    EXPECT_EQ(table.rows[row][table.column("new_data")], Json("new"));
    EXPECT_EQ(table.rows[row][table.column("loss_new")].as_double(), 4.0);
  }
}

TEST_F(RouterTable, CountsAnExpertAsDeadWhenNoSetReachesIt) {
  // Layer 0 has expert 1 on the old data and expert 2 on the new: only 3 is dead. Layer 1 has all on the old.
  const std::vector<Arm> arms = {add("a", "a", {}), add("b", "b", router("kind = \"sinkhorn\"")),
                                 add("c", "c", router("kind = \"random\""))};
  auto tables = study_tables(arms, {});
  const auto& table = train::find_table(tables, "routers");
  for (const auto& row : table.rows) EXPECT_EQ(row[table.column("dead")], Json(1));
}

// A run of one phase on trained weights: the loss before is that of step 0, and so is its error. The set that the phase
// does not train on is the old one.
TEST_F(RouterTable, ErrorsOfLossesAreThoseOfTheEvaluationsThatTheyAreOf) {
  std::vector<Arm> arms = {testing::made_arm("p", "p"), testing::made_arm("s", "s", router("kind = \"sinkhorn\"")),
                           testing::made_arm("r", "r", router("kind = \"random\""))};
  const auto result = [](double loss, double se) {
    auto out = testing::made_result(loss);
    out.loss_se = se;
    return out;
  };
  for (auto& arm : arms) {
    arm.resolved["phase"].as_array().resize(1);
    arm.resolved["model"]["from"] = "runs/first";
    arm.evaluations = {testing::made_evaluation(0, "one", {{"a", result(4, 0.5)}, {"b", result(3, 0.25)}}),
                       testing::made_evaluation(6, "one", {{"a", result(2, 0.125)}, {"b", result(3.5, 0.0625)}})};
  }
  auto tables = train::new_tables();
  add_router_table(arms, tables);
  const auto& table = train::find_table(tables, "routers");
  const auto at = [&](const char* column) { return table.rows[0][table.column(column)].dump(); };
  EXPECT_EQ(at("old_data") + at("loss_before") + at("loss_before_se"), R"("b"30.25)");
  EXPECT_EQ(at("loss_old") + " " + at("loss_old_se"), "3.5 0.0625");
  EXPECT_EQ(at("loss_new") + " " + at("loss_new_se"), "2 0.125");
  EXPECT_EQ(at("forgetting"), "0.5");
  EXPECT_DOUBLE_EQ(table.rows[0][table.column("forgetting_se")].as_double(), std::sqrt(0.0625 + 0.00390625));
}

// What makes a block hard before and after cancels: of losses 1, 3 and 2, 4 the difference is 1 in each block.
TEST_F(RouterTable, TheErrorOfForgettingIsPairedByBlocks) {
  std::vector<Arm> arms = {testing::made_arm("p", "p"), testing::made_arm("s", "s", router("kind = \"sinkhorn\"")),
                           testing::made_arm("r", "r", router("kind = \"random\""))};
  const auto result = [](std::vector<double> losses) {
    auto out = testing::made_result((losses[0] + losses[1]) / 2);
    out.loss_se = 1.0;
    out.loss_blocks = record::ClusterMeans{std::move(losses), {5, 5}};
    return out;
  };
  for (auto& arm : arms)
    arm.evaluations = {testing::made_evaluation(6, "one", {{"a", result({1, 3})}}),
                       testing::made_evaluation(10, "two", {{"a", result({2, 4})}})};
  auto tables = train::new_tables();
  add_router_table(arms, tables);
  const auto& table = train::find_table(tables, "routers");
  EXPECT_EQ(table.rows[0][table.column("forgetting")].as_double(), 1.0);
  EXPECT_EQ(table.rows[0][table.column("forgetting_se")].as_double(), 0.0);
  EXPECT_EQ(table.rows[0][table.column("loss_old_se")].as_double(), 1.0);
}

TEST_F(RouterTable, IsThereFromThreeRulesOnAndSummarisedOverSeeds) {
  const auto a1 = add("a-1", "a", {"train.seed=1"}, {0, 0}, 0.8), a2 = add("a-2", "a", {"train.seed=2"}, {0, 0}, 1.0);
  const auto b = add("b", "b", router("kind = \"sinkhorn\"")), c = add("c", "c", router("kind = \"random\"")),
             dense = add("dense", "dense", testing::kTinyDense);
  auto two = study_tables({a1, a2, b, dense}, {});
  EXPECT_THROW(train::find_table(two, "routers"), std::logic_error);
  auto tables = study_tables({a1, a2, b, c, dense}, {});
  const auto& summary = train::find_table(tables, "routers_summary");
  ASSERT_EQ(summary.rows.size(), 4u);
  EXPECT_EQ(summary.rows[3][summary.column("group")], Json("dense"));
  EXPECT_TRUE(summary.rows[3][summary.column("router")].is_null());
  EXPECT_TRUE(summary.rows[3][summary.column("mri_peak_mean")].is_null());
  EXPECT_EQ(summary.rows[3][summary.column("loss_new_mean")], Json(4.0));
  const auto& row = summary.rows[0];
  EXPECT_EQ(row[summary.column("group")], Json("a"));
  EXPECT_EQ(row[summary.column("causal")], Json(true));
  EXPECT_EQ(row[summary.column("scope")], Json("token"));
  EXPECT_DOUBLE_EQ(row[summary.column("mri_peak_mean")].as_double(), 0.9);
  EXPECT_NEAR(row[summary.column("mri_peak_std")].as_double(), 0.1 * std::sqrt(2.0),
              1e-15);  // of 0.8 and 1.0; one rounding
  EXPECT_EQ(row[summary.column("n")], Json(2));
  EXPECT_THROW(summary.column("lower_bound_mean"), DataError) << "it says which rule an arm has";
}

}  // namespace
}  // namespace evenkeel::study
