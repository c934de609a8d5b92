#include "study/tables.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/made_run.h"

namespace evenkeel::study {
namespace {

using testing::made_evaluation;
using testing::made_result;
using testing::made_step;
using train::Arm;

Arm named(const std::string& name, const std::string& group) {
  Arm arm;
  arm.name = name;
  arm.group = group;
  return arm;
}

TEST(Summarize, MeanAndSampleDeviationOverSeeds) {
  Table table;
  table.columns = {{"arm", ""}, {"data", ""}, {"loss", "nats"}, {"steps", "steps"}, {"loss_se", "nats"}};
  table.source = "made";
  table.chance = 0.5;
  table.rows = {{"a1", "en", 1.0, 4, 0.1},
                {"b1", "en", 5.0, Json(), 0.1},
                {"a2", "en", 2.0, Json(), 0.1},
                {"a3", "en", 6.0, 8, 0.1},
                {"a1", "de", 7.0, Json(), 0.1}};
  const auto out = summarize(table, {"data"}, {named("a1", "a"), named("a2", "a"), named("a3", "a"), named("b1", "b")});
  std::vector<std::string> columns;
  for (const auto& column : out.columns) columns.push_back(column.name);
  EXPECT_THAT(columns, ::testing::ElementsAre("group", "data", "loss_mean", "loss_std", "loss_n", "steps_mean",
                                              "steps_std", "steps_n", "n"));
  EXPECT_EQ(out.columns[2].unit, "nats");
  EXPECT_EQ(out.chance, 0.5);
  ASSERT_EQ(out.rows.size(), 3u);
  EXPECT_EQ(out.rows[0][0].as_string(), "a");
  EXPECT_EQ(out.rows[0][1].as_string(), "en");
  EXPECT_DOUBLE_EQ(out.rows[0][2].as_double(), 3.0);
  EXPECT_DOUBLE_EQ(out.rows[0][3].as_double(), std::sqrt(7.0));  // (4 + 1 + 9) / 2
  EXPECT_EQ(out.rows[0][4].as_int(), 3);
  EXPECT_DOUBLE_EQ(out.rows[0][5].as_double(), 6.0);  // the null is left out
  EXPECT_DOUBLE_EQ(out.rows[0][6].as_double(), std::sqrt(8.0));
  EXPECT_EQ(out.rows[0][7].as_int(), 2);  // and not counted
  EXPECT_EQ(out.rows[0][8].as_int(), 3);  // arms of the group
  EXPECT_EQ(out.rows[1], (std::vector<Json>{"b", "en", 5.0, Json(), 1, Json(), Json(), 0, 1}));
  EXPECT_EQ(out.rows[2], (std::vector<Json>{"a", "de", 7.0, Json(), 1, Json(), Json(), 0, 1}));
}

// A run of three steps, evaluated after steps 1 and 3 on "held".
class StudyTables : public ::testing::Test {
 protected:
  Arm add(const std::string& name, const std::string& group, const std::vector<std::string>& changes, double first_loss,
          double last_loss, std::optional<double> se = std::nullopt) {
    std::vector<std::string> overrides = {"phase.one.steps=3", "phase.two.steps=1",
                                          "phase.one.data=[{name = \"held\", path = \"/a\"}]"};
    overrides.insert(overrides.end(), changes.begin(), changes.end());
    std::vector<record::RunLine> lines;
    for (int64_t step = 1; step <= 3; ++step) {
      lines.push_back(made_step(step, "one", {}));
      if (step != 2)
        lines.push_back(made_evaluation(step, "one", {{"held", result(step == 1 ? first_loss : last_loss, se)}}));
    }
    const auto run = folder_ / name;
    testing::write_made_run(run, testing::tiny_config("/data", overrides), lines);
    return train::read_arm(name, group, run);
  }
  static record::SetResult result(double loss, std::optional<double> se) {
    auto out = made_result(loss);
    out.loss_se = se;
    return out;
  }
  std::vector<std::string> dense(const std::string& seed) const {
    auto out = testing::kTinyDense;
    out.push_back("train.seed=" + seed);
    return out;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(StudyTables, ThroughputIsAgainstTheDenseArmOfTheSameSeed) {
  const std::vector<Arm> arms = {
      add("moe1", "moe", {"train.seed=1"}, 4, 3), add("moe2", "moe", {"train.seed=2"}, 4, 3),
      add("moe3", "moe", {"train.seed=3"}, 4, 3), add("dense1", "dense", dense("1"), 4, 3),
      add("dense2", "dense", dense("2"), 4, 3),   add("unmeasured", "moe", {"train.seed=4"}, 4, 3)};
  auto tables = study_tables(
      arms, {{"moe1", {16, 2}}, {"moe2", {16, 2}}, {"moe3", {16, 2}}, {"dense1", {32, 1}}, {"dense2", {64, 0.5}}});
  const auto& rows = train::find_table(tables, "throughput").rows;
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[0][1].as_double(), 16.0);
  EXPECT_EQ(rows[0][2].as_double(), 2.0);
  EXPECT_DOUBLE_EQ(rows[0][3].as_double(), 0.5);
  EXPECT_DOUBLE_EQ(rows[1][3].as_double(), 0.25);
  EXPECT_DOUBLE_EQ(rows[2][3].as_double(), 0.5);  // no dense arm of seed 3: the first
  EXPECT_DOUBLE_EQ(rows[4][3].as_double(), 1.0);
}

TEST_F(StudyTables, ASpeedOfABusyMachineHasNoRatio) {
  const std::vector<Arm> arms = {add("moe1", "moe", {"train.seed=1"}, 4, 3), add("moe2", "moe", {"train.seed=2"}, 4, 3),
                                 add("moe3", "moe", {"train.seed=3"}, 4, 3), add("dense1", "dense", dense("1"), 4, 3),
                                 add("dense2", "dense", dense("2"), 4, 3)};
  const Speed quiet{16, 2, 0.25, 0.05, 0.95}, uneven{16, 2, 0.25, 0.2, 0.95}, starved{16, 2, 0.25, 0.05, 0.7};
  const auto ratios = [&](const Speeds& speeds) {
    auto tables = study_tables(arms, speeds);
    const auto& table = train::find_table(tables, "throughput");
    std::string out;
    for (const auto& row : table.rows) {
      EXPECT_EQ(row[table.column("cpu_seconds_per_token")].as_double(), 0.25);
      out += row[table.column("ratio_to_dense")].dump() + " ";
    }
    EXPECT_EQ(table.source.find("busy") != std::string::npos, !busy_note(arms, speeds).empty());
    return out;
  };
  const Speeds none = {{"moe1", quiet}, {"moe2", quiet}, {"moe3", quiet}, {"dense1", quiet}, {"dense2", quiet}};
  EXPECT_EQ(ratios(none), "1 1 1 1 1 ");
  EXPECT_EQ(busy_note(arms, none), "");
  // Two of the others; then a dense arm, to which those of its seed and of none compare; then all.
  const Speeds two = {{"moe1", uneven}, {"moe2", starved}, {"moe3", quiet}, {"dense1", quiet}, {"dense2", quiet}};
  EXPECT_EQ(ratios(two), "null null 1 1 1 ");
  EXPECT_EQ(busy_note(arms, two),
            "The machine was busy with other work while the training speed of moe1 and moe2 was measured, so it is no "
            "measure of the models, and there is no ratio to a dense arm.");
  const std::vector<Arm> without_dense(arms.begin(), arms.begin() + 3);
  EXPECT_EQ(busy_note(without_dense, two),
            "The machine was busy with other work while the training speed of moe1 and moe2 was measured, so it is no "
            "measure of the models.");
  const Speeds reference = {{"moe1", quiet}, {"moe2", quiet}, {"moe3", quiet}, {"dense1", starved}, {"dense2", quiet}};
  EXPECT_EQ(ratios(reference), "null 1 null null 1 ");
  const Speeds all = {{"moe1", starved}, {"moe2", starved}, {"moe3", starved}, {"dense1", uneven}, {"dense2", uneven}};
  EXPECT_EQ(ratios(all), "null null null null null ");
  EXPECT_THAT(busy_note(arms, all), ::testing::HasSubstr("the training speed of every arm was"));
  const Speeds three = {{"moe1", starved}, {"moe2", starved}, {"moe3", starved}, {"dense1", quiet}};
  EXPECT_THAT(busy_note(arms, three), ::testing::HasSubstr(" moe1, moe2 and moe3 "));
}

TEST_F(StudyTables, TokensToTheDenseLoss) {
  const std::vector<Arm> arms = {add("dense", "dense", dense("1"), 4.0, 3.0), add("fast", "fast", {}, 2.9, 2.5),
                                 add("equal", "equal", {}, 3.5, 3.0), add("slow", "slow", {}, 5.0, 3.1)};
  auto tables = study_tables(arms, {});
  const auto& rows = train::find_table(tables, "tokens_to_loss").rows;
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(Json(rows[0]).dump(), R"(["dense","held",3,96,"dense",0,null,null])");
  EXPECT_EQ(Json(rows[1]).dump(), R"(["fast","held",3,32,"dense",-0.5,null,null])");
  EXPECT_EQ(Json(rows[2]).dump(), R"(["equal","held",3,96,"dense",0,null,null])");
  EXPECT_EQ(Json(rows[3]).dump(), R"(["slow","held",3,null,"dense",0.10000000000000009,null,null])");
}

// A source's own name need not be that of its held-out set: the file tells.
TEST_F(StudyTables, TokensAreToTheLossOnTheHeldOutSetOfTheFirstData) {
  std::vector<std::string> named =
                               {"phase.one.data=[{name = \"c\", path = \"/data/c\", weight = 1e-9}, "
                                "{name = \"english\", path = \"/data/a\"}]",
                                "phase.one.eval={data = [{name = \"held\", path = \"/data/a-heldout\"}]}"},
                           dense_named = dense("1");
  dense_named.insert(dense_named.end(), named.begin(), named.end());
  const std::vector<Arm> arms = {add("dense", "dense", dense_named, 4.0, 3.0), add("fast", "fast", named, 2.9, 2.5)};
  auto tables = study_tables(arms, {});
  EXPECT_EQ(Json(train::find_table(tables, "tokens_to_loss").rows.at(1)).dump(),
            R"(["fast","held",3,32,"dense",-0.5,null,null])");
}

TEST_F(StudyTables, TokensAreToTheLossOfTheDenseArmOfTheSameSeed) {
  const std::vector<Arm> arms = {
      add("dense1", "dense", dense("1"), 4.0, 3.0), add("dense2", "dense", dense("2"), 4.0, 2.0),
      add("moe2", "moe", {"train.seed=2"}, 2.9, 2.0), add("moe3", "moe", {"train.seed=3"}, 2.9, 2.0)};
  auto tables = study_tables(arms, {});
  const auto& rows = train::find_table(tables, "tokens_to_loss").rows;
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(Json(rows[1]).dump(), R"(["dense2","held",2,96,"dense",0,null,null])");
  EXPECT_EQ(Json(rows[2]).dump(), R"(["moe2","held",2,96,"dense",0,null,false])");
  EXPECT_EQ(Json(rows[3]).dump(),
            R"(["moe3","held",3,32,"dense",-1,null,false])");  // no dense arm of seed 3: the first
}

TEST_F(StudyTables, WithoutADenseArmTokensAreToTheLossOfTheFirstGroup) {
  const std::vector<Arm> arms = {add("a1", "a", {"train.seed=1"}, 4.0, 3.0), add("a2", "a", {"train.seed=2"}, 4.0, 2.0),
                                 add("b1", "b", {"train.seed=1"}, 3.0, 2.5),
                                 add("b2", "b", {"train.seed=2"}, 3.0, 2.5)};
  auto tables = study_tables(arms, {});
  const auto& rows = train::find_table(tables, "tokens_to_loss").rows;
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(Json(rows[0]).dump(), R"(["a1","held",3,96,"a",0,null,null])");
  EXPECT_EQ(Json(rows[2]).dump(), R"(["b1","held",3,32,"a",-0.5,null,false])");
  EXPECT_EQ(Json(rows[3]).dump(), R"(["b2","held",2,null,"a",0.5,null,false])");
  EXPECT_EQ(train::find_table(tables, "tokens_to_loss_summary").rows.size(), 2u);
  EXPECT_THROW(train::find_table(tables, "warnings_summary"), std::logic_error);  // warnings are no figures
}

// Of one seed by the text; of two by the spread of what they miss: the interval of 0.2 and 0.3 is 0.25 +- 12.706 *
// 0.05, which holds 0, that of 0.2 and 0.202 is 0.201 +- 1.96 * 0.03, the error by the text, as its seeds agree closer
// than that.
TEST_F(StudyTables, WhatMissesALossIsBeyondNoiseOrNot) {
  const std::vector<Arm> arms = {add("dense1", "dense", dense("1"), 4, 3, 0.03),
                                 add("dense2", "dense", dense("2"), 4, 3, 0.03),
                                 add("far", "far", {}, 4, 3.5, 0.04),
                                 add("near", "near", {}, 4, 3.05, 0.04),
                                 add("wide1", "wide", {"train.seed=1"}, 4, 3.2, 0),
                                 add("wide2", "wide", {"train.seed=2"}, 4, 3.3, 0),
                                 add("even1", "even", {"train.seed=1"}, 4, 3.2, 0),
                                 add("even2", "even", {"train.seed=2"}, 4, 3.202, 0)};
  const std::vector<Arm> single = {arms[0], arms[2], arms[3]};
  auto tables = study_tables(single, {});
  const auto& table = train::find_table(tables, "tokens_to_loss");
  const auto at = [&](size_t row, const char* column) { return table.rows[row][table.column(column)]; };
  EXPECT_TRUE(at(1, "tokens").is_null());
  EXPECT_DOUBLE_EQ(at(1, "short_by").as_double(), 0.5);
  EXPECT_DOUBLE_EQ(at(1, "short_by_se").as_double(), 0.05);  // sqrt(0.03^2 + 0.04^2): the blocks are not known
  EXPECT_EQ(at(1, "beyond_noise"), Json(true));
  EXPECT_TRUE(at(2, "tokens").is_null());
  EXPECT_EQ(at(2, "beyond_noise"), Json(false));  // 0.05 of an error of 0.05
  auto seeds = study_tables({arms[0], arms[1], arms[4], arms[5], arms[6], arms[7]}, {});
  const auto& of_seeds = train::find_table(seeds, "tokens_to_loss");
  std::string verdicts;
  for (const auto& row : of_seeds.rows) verdicts += row[of_seeds.column("beyond_noise")].dump() + " ";
  EXPECT_EQ(verdicts, "false false false false true true ");
}

TEST_F(StudyTables, AnArmThatWasNotEvaluatedOnTheDataIsShortOfNothing) {
  auto arms = std::vector<Arm>{add("dense", "dense", dense("1"), 4, 3), add("blind", "blind", {}, 4, 3)};
  arms[1].evaluations.clear();
  auto tables = study_tables(arms, {});
  EXPECT_EQ(Json(train::find_table(tables, "tokens_to_loss").rows[1]).dump(),
            R"(["blind","held",3,null,"dense",null,null,null])");
}

TEST_F(StudyTables, SummariesComeWithSeveralSeedsOnly) {
  const std::vector<Arm> arms = {add("a1", "a", {"train.seed=1"}, 4, 3), add("a2", "a", {"train.seed=2"}, 4, 2)};
  auto both = study_tables(arms, {});
  const auto& summary = train::find_table(both, "forgetting_summary");
  ASSERT_EQ(summary.rows.size(), 1u);
  EXPECT_DOUBLE_EQ(summary.rows[0][summary.column("loss_mean")].as_double(), 2.5);
  EXPECT_DOUBLE_EQ(summary.rows[0][summary.column("loss_std")].as_double(), std::sqrt(0.5));
  EXPECT_EQ(summary.rows[0][summary.column("n")].as_int(), 2);
  for (const char* name : {"shift_mri_summary", "eval_mri_summary", "saturation_summary", "throughput_summary"})
    train::find_table(both, name);
  auto single = study_tables({arms[0]}, {});
  EXPECT_THROW(train::find_table(single, "forgetting_summary"), std::logic_error);
  EXPECT_THROW(train::find_table(single, "tokens_to_loss"), std::logic_error);  // nothing to compare with
}

}  // namespace
}  // namespace evenkeel::study
