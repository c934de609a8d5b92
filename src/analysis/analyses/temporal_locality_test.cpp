#include <gtest/gtest.h>

#include "analysis/analyses/test_support.h"
#include "golden/analyses.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_temporal_locality_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::Experts;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

Table locality_table(const AnalysisInput& input, const Observation& batch) {
  const auto analysis = make_temporal_locality_analysis(input);
  analysis->observe(batch);
  return table_of(analysis->tables(), "temporal_locality");
}

TEST(TemporalLocality, CountsNeighboursByHand) {
  const auto input = input_of({{1, 4, 2}}, 9, 4);
  auto batch = batch_of({1, 1, 1, 1}, 4, {routing_of({{0, 1}, {0, 2}, {1, 0}, {3, 2}}, 4, 2, 1)});
  auto table = locality_table(input, batch);
  EXPECT_DOUBLE_EQ(number_in(table, {}, "first_choice"), 1.0 / 3);
  EXPECT_DOUBLE_EQ(number_in(table, {}, "any_choice"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(number_in(table, {}, "chance_first"), 0.25);
  EXPECT_DOUBLE_EQ(number_in(table, {}, "chance_any"), 1 - 1.0 / 6);
  // Both tokens of the pairs: experts 0 0, 0 1, 1 3, hence 3, 2 and 1 of 6.
  EXPECT_DOUBLE_EQ(number_in(table, {}, "load_first"), (9 + 4 + 1) / 36.0);
  EXPECT_EQ(cell(table, {}, "pairs"), Json(3));
  // Another document begins at token 2, and token 3 is padding: only the first pair is left.
  batch.document_ids = at::tensor(std::vector<int64_t>{0, 0, 1, 1}).view({1, 4}).to(at::kInt);
  EXPECT_EQ(cell(locality_table(input, batch), {}, "pairs"), Json(2));
  batch.is_padding = at::tensor(std::vector<int64_t>{0, 0, 0, 1}).view({1, 4}).to(at::kBool);
  table = locality_table(input, batch);
  EXPECT_EQ(cell(table, {}, "pairs"), Json(1));
  EXPECT_DOUBLE_EQ(number_in(table, {}, "first_choice"), 1.0);
}

TEST(TemporalLocality, DoesNotPairAcrossSequences) {
  const auto input = input_of({{0, 4, 1}}, 9, 2);
  const auto table = locality_table(input, batch_of({1, 1, 1, 1}, 2, {routing_of({{0}, {1}, {1}, {2}}, 4, 1)}));
  EXPECT_EQ(cell(table, {}, "pairs"), Json(2));
  EXPECT_DOUBLE_EQ(number_in(table, {}, "first_choice"), 0.0);
}

TEST(TemporalLocality, GivesTheChanceOfThePaperUnderUniformRouting) {
  const int64_t T = 20'000;
  const auto table = locality_table(
      input_of({{0, 8, 2}}, 9, T),
      batch_of(std::vector<int64_t>(T, 1), T, {routing_of(testing::uniform_experts(T, 8, 2, 11), 8, 2)}));
  EXPECT_NEAR(number_in(table, {}, "chance_first"), 0.125, 1e-12);
  EXPECT_NEAR(number_in(table, {}, "chance_any"), 0.464, 5e-4);  // arXiv 2401.04088, table 5
  EXPECT_NEAR(number_in(table, {}, "first_choice"), 0.125, 4 * std::sqrt(0.125 * 0.875 / T));
  EXPECT_NEAR(number_in(table, {}, "any_choice"), 15.0 / 28 * -1 + 1, 4 * std::sqrt(0.25 / T));
}

TEST(TemporalLocality, AveragesTheChanceOfRoutersThatDoNotGiveExactlyK) {
  // Sizes 1, 2, 0, 3, 1: pairs (1, 2) and (3, 1) of E = 4; a token without an expert has no neighbour.
  const auto table = locality_table(
      input_of({{0, 4, 2}}, 9, 5), batch_of({1, 1, 1, 1, 1}, 5, {routing_of({{0}, {1, 0}, {}, {1, 2, 3}, {0}}, 4, 2)}));
  EXPECT_EQ(cell(table, {}, "pairs"), Json(2));
  EXPECT_DOUBLE_EQ(number_in(table, {}, "chance_any"), (0.5 + 0.75) / 2);
  EXPECT_DOUBLE_EQ(number_in(table, {}, "any_choice"), 0.5);
}

TEST(TemporalLocality, ReproducesTheGoldenStream) {
  const auto golden = testing::golden_stream();
  const auto table = locality_table(golden.input, golden.batch);
  for (size_t layer = 0; layer < golden.layers.size(); ++layer) {
    const testing::Where where = {{"layer", static_cast<int64_t>(layer)}};
    const auto& need = golden.layers.at(layer).at("locality");
    EXPECT_EQ(cell(table, where, "pairs"), need.at("pairs"));
    for (const std::string column : {"first_choice", "any_choice", "load_first"})
      testing::expect_close(number_in(table, where, column), need.at(column).as_double(), golden.rtol, golden.atol,
                            column);
  }
}

TEST(TemporalLocality, IntervalsHoldTheChanceOfUniformRouting) {
  const auto make = [](uint64_t seed) {
    return locality_table(testing::uniform_input({}), testing::uniform_batch({}, seed));
  };
  EXPECT_GE(testing::share_held(make, {{}, "first_choice", "chance_first"}), testing::kLeastHeld);
  EXPECT_GE(testing::share_held(make, {{}, "any_choice", "chance_any"}), testing::kLeastHeld);
}

TEST(TemporalLocality, IntervalsHoldTheTruthWhereWindowsDiffer) {
  // A window keeps its expert of 8 with probability 0 or 0.8 at each step: neighbours agree in 0.4 + 0.6 / 8 = 0.475.
  const auto make = [](uint64_t seed) {
    constexpr int64_t kWindows = 30, kLength = 40;
    RngStream rng(seed, "sticky experts");
    Experts experts;
    double stays = 0;
    for (int64_t t = 0; t < kWindows * kLength; ++t) {
      if (t % kLength == 0) stays = rng.below(2) == 0 ? 0.0 : 0.8;
      experts.push_back(
          {t % kLength > 0 && rng.uniform() < stays ? experts.back()[0] : static_cast<int64_t>(rng.below(8))});
    }
    return locality_table(input_of({{0, 8, 1}}, 9, kLength),
                          batch_of(std::vector<int64_t>(kWindows * kLength, 1), kLength, {routing_of(experts, 8, 1)}));
  };
  EXPECT_GE(testing::share_held(make, {{}, "first_choice", 0.475}), testing::kLeastHeld);
}

}  // namespace
}  // namespace evenkeel::analysis
