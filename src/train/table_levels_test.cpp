#include "train/table_levels.h"

#include <gtest/gtest.h>

#include "support/made_run.h"

namespace evenkeel::train {
namespace {

using testing::made_evaluation;
using testing::made_step;

class LevelsTest : public ::testing::Test {
 protected:
  // An evaluation on `tokens` tokens after phase one, and rows of saturation with these chances.
  Arm arm(const std::string& name, const std::vector<std::string>& overrides, int64_t tokens,
          const std::vector<double>& chances) const {
    auto result = testing::made_result(3.0, {0.5, 0.5});
    result.tokens = tokens;
    std::vector<record::LayerSaturation> rows;
    for (const double chance : chances) rows.push_back({0, 1, 1, 2, 0.7, chance});
    std::vector<record::RunLine> lines;
    for (int64_t step = 1; step <= 6; ++step) lines.push_back(made_step(step, "one", {0.5, 0.5}));
    lines.push_back(made_evaluation(6, "one", {{"held", result}}));
    for (int64_t step = 7; step <= 8; ++step) lines.push_back(made_step(step, "two", {0.5, 0.5}));
    lines.push_back(record::SaturationRow{8, "two", {{"held", std::move(rows)}}});
    testing::write_made_run(folder_ / name, testing::tiny_config("/data", overrides), lines);
    return read_arm(name, name, folder_ / name);
  }
  static NamedTables tables_of(const std::vector<Arm>& arms) {
    auto tables = new_tables();
    add_rows(arms, tables);
    set_levels(arms, tables);
    return tables;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(LevelsTest, OneRunStatesThem) {
  auto tables = tables_of({arm("one", {}, 49, {0.5})});
  EXPECT_EQ(find_table(tables, "shift_mri").chance, 0.5);  // 2 of 4 experts
  EXPECT_EQ(find_table(tables, "shift_mri").tokens, 32);   // 4 sequences of 8 tokens
  EXPECT_EQ(find_table(tables, "eval_mri").chance, 0.5);
  EXPECT_EQ(find_table(tables, "eval_mri").tokens, 49);
  EXPECT_EQ(find_table(tables, "forgetting").tokens, 49);
  EXPECT_FALSE(find_table(tables, "forgetting").chance.has_value());
  EXPECT_EQ(find_table(tables, "saturation").chance, 0.5);
  EXPECT_EQ(find_table(tables, "saturation").tokens, 49);
}

TEST_F(LevelsTest, WhatDiffersIsLeftUnset) {
  auto tables = tables_of({arm("one", {}, 49, {0.25, 0.5}), arm("eight", {"model.n_experts=8"}, 20, {0.25})});
  for (const char* name : {"shift_mri", "eval_mri", "saturation"})
    EXPECT_FALSE(find_table(tables, name).chance.has_value()) << name;
  for (const char* name : {"forgetting", "eval_mri", "saturation"})
    EXPECT_FALSE(find_table(tables, name).tokens.has_value()) << name;
  EXPECT_EQ(find_table(tables, "shift_mri").tokens, 32);
}

TEST_F(LevelsTest, ADenseArmHasNoChanceLevelAndTakesNoneAway) {
  auto tables = tables_of({arm("moe", {}, 49, {0.5}), arm("dense", testing::kTinyDense, 49, {})});
  EXPECT_EQ(find_table(tables, "eval_mri").chance, 0.5);
}

TEST_F(LevelsTest, ATableWithoutRowsStatesNothing) {
  auto tables = new_tables();
  set_levels({arm("one", {}, 49, {0.5})}, tables);
  for (const auto& [name, table] : tables) EXPECT_FALSE(table.tokens.has_value() || table.chance.has_value()) << name;
}

}  // namespace
}  // namespace evenkeel::train
