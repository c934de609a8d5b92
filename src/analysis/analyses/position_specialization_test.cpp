#include <gtest/gtest.h>

#include "analysis/id_stats.h"
#include "golden/analyses.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_position_specialization_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::Experts;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

std::vector<NamedTable> observed(const AnalysisInput& input, const Observation& batch) {
  const auto analysis = make_position_specialization_analysis(input);
  analysis->observe(batch);
  return analysis->tables();
}

TEST(PositionSpecialization, FindsAnExpertForAPosition) {
  // 30 sequences of 16; position p goes to expert p % 4, the first position to 0 alone.
  Experts experts;
  for (int64_t t = 0; t < 480; ++t) experts.push_back({t % 16 % 4});
  const auto tables =
      observed(input_of({{0, 4, 1}}, 9, 16), batch_of(std::vector<int64_t>(480, 1), 16, {routing_of(experts, 4, 1)}));
  const auto means = table_of(tables, "position_specialization");
  EXPECT_EQ(cell(means, {{"group", "all"}}, "positions"), Json(16));
  EXPECT_EQ(cell(means, {{"group", "all_but_first"}}, "positions"), Json(15));
  for (const std::string group : {"all", "first", "spaced", "consecutive"})
    EXPECT_DOUBLE_EQ(number_in(means, {{"group", group}}, "std"), std::sqrt(3.0) / 4) << group;
  EXPECT_DOUBLE_EQ(number_in(means, {{"group", "all"}}, "baseline_std"), std::sqrt(0.75 / (30 * 4)));
  // Spaced: 2, 4 .. 14, alternately experts 2 and 0: 9 of 21 pairs are alike. Consecutive: 2, 3, 4, 5, all different.
  EXPECT_DOUBLE_EQ(number_in(means, {{"group", "spaced"}}, "overlap"), 9.0 / 21);
  EXPECT_DOUBLE_EQ(number_in(means, {{"group", "consecutive"}}, "overlap"), 0.0);
  const auto single = table_of(tables, "position_id_specialization");
  EXPECT_EQ(cell(single, {{"group", "spaced"}, {"position", 6}}, "expert"), Json(2));
  EXPECT_DOUBLE_EQ(number_in(single, {{"group", "consecutive"}, {"position", 3}}, "max_share"), 1.0);
  EXPECT_DOUBLE_EQ(number_in(table_of(tables, "position_id_shares"), {{"position", 5}, {"expert", 1}}, "share"), 1.0);
}

TEST(PositionSpecialization, GivesItsBaselineUnderUniformRouting) {
  const int64_t T = 64 * 400;
  const auto tables =
      observed(input_of({{0, 8, 2}}, 9, 64),
               batch_of(std::vector<int64_t>(T, 1), 64, {routing_of(testing::uniform_experts(T, 8, 2, 7), 8, 2)}));
  const auto means = table_of(tables, "position_specialization");
  // One position's deviation varies by 1 / sqrt(14) = 27 %, the mean of 64 by 3.3 %, of 7 by 10 %.
  EXPECT_NEAR(number_in(means, {{"group", "all"}}, "std") / number_in(means, {{"group", "all"}}, "chance_std"), 1.0,
              0.13);
  EXPECT_NEAR(number_in(means, {{"group", "spaced"}}, "overlap"),
              number_in(means, {{"group", "spaced"}}, "chance_overlap"), 0.02);
  // 400 tokens a position: one expert's share of the assignments varies by .01, the largest of eight by less; 7
  // positions.
  const auto single = table_of(tables, "position_id_specialization");
  double mean = 0;
  for (int64_t i = 1; i < 8; ++i)
    mean += number_in(single, {{"group", "spaced"}, {"position", 8 * i}}, "max_share") / 7;
  EXPECT_NEAR(mean, number_in(single, {{"group", "spaced"}, {"position", 8}}, "chance_max_share"),
              4 * 0.011 / std::sqrt(7));
}

TEST(PositionSpecialization, GivesItsChanceOfOverlapForFewSequences) {
  // Three sequences: 21 pairs of positions with three tokens each, of 8 experts; overlap .295 where the limit of many
  // says .138.
  const int64_t T = 64 * 3;
  double overlap = 0, chance = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const auto tables =
        observed(input_of({{0, 8, 1}}, 9, 64),
                 batch_of(std::vector<int64_t>(T, 1), 64, {routing_of(testing::uniform_experts(T, 8, 1, seed), 8, 1)}));
    overlap += number_in(table_of(tables, "position_specialization"), {{"group", "spaced"}}, "overlap") / 40;
    chance = number_in(table_of(tables, "position_specialization"), {{"group", "spaced"}}, "chance_overlap");
  }
  EXPECT_NEAR(chance, 0.29547, 1e-5);  // scripts/golden/analyses.py
  EXPECT_NEAR(overlap, chance,
              4 * 0.25 / std::sqrt(40 * 7));  // a pair varies by .25; 7 of 21 pairs count as independent
}

TEST(PositionSpecialization, HasNoSingleGroupsInShortSequences) {
  const auto tables =
      observed(input_of({{0, 2, 1}}, 9, 3), batch_of({1, 1, 1}, 3, {routing_of({{0}, {1}, {1}}, 2, 1)}));
  for (const auto& row : table_of(tables, "position_specialization").rows) {
    EXPECT_NE(row[2], Json("spaced"));
    EXPECT_NE(row[2], Json("consecutive"));
  }
}

TEST(PositionSpecialization, ReproducesTheGoldenStream) {
  const auto golden = testing::golden_stream();
  const auto table = table_of(observed(golden.input, golden.batch), "position_specialization");
  for (size_t layer = 0; layer < golden.layers.size(); ++layer) {
    const auto& need = golden.layers.at(layer).at("position_std");
    const testing::Where where = {{"layer", static_cast<int64_t>(layer)}, {"group", "all"}};
    EXPECT_EQ(cell(table, where, "positions"), need.at("ids"));
    for (const std::string column : {"std", "baseline_std", "load_std"})
      testing::expect_close(number_in(table, where, column), need.at(column).as_double(), golden.rtol, golden.atol,
                            column);
  }
}

}  // namespace
}  // namespace evenkeel::analysis
