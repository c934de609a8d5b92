#include <gtest/gtest.h>

#include "analysis/analyses/test_support.h"
#include "golden/analyses.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_coactivation_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::Experts;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

std::vector<NamedTable> observed(const AnalysisInput& input, const Observation& batch) {
  const auto analysis = make_coactivation_analysis(input);
  analysis->observe(batch);
  return analysis->tables();
}

testing::Where pair_of(const char* mode, int64_t a, int64_t b) {
  return {{"mode", mode}, {"expert_a", a}, {"expert_b", b}};
}

TEST(Coactivation, AllPairsAndAdjacentRanksDifferByHand) {
  // Tokens 0 1 2, 2 1 0, 0 2 3: 0 and 2 are together three times, neighbours in rank only once.
  const auto tables = observed(input_of({{7, 4, 3}}, 9, 3),
                               batch_of({1, 1, 1}, 3, {routing_of({{0, 1, 2}, {2, 1, 0}, {0, 2, 3}}, 4, 3, 7)}));
  const auto table = table_of(tables, "coactivation");
  EXPECT_DOUBLE_EQ(number_in(table, pair_of("all_pairs", 0, 2), "probability"), 1.0);
  EXPECT_DOUBLE_EQ(number_in(table, pair_of("adjacent_rank", 0, 2), "probability"), 1.0 / 3);
  EXPECT_DOUBLE_EQ(number_in(table, pair_of("all_pairs", 0, 1), "probability"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(number_in(table, pair_of("all_pairs", 1, 0), "probability"), 1.0);  // not symmetric
  EXPECT_DOUBLE_EQ(number_in(table, pair_of("adjacent_rank", 1, 2), "probability"), 1.0);
  EXPECT_DOUBLE_EQ(number_in(table, pair_of("all_pairs", 3, 1), "probability"), 0.0);
  EXPECT_DOUBLE_EQ(number_in(table, pair_of("all_pairs", 0, 1), "chance"), 2.0 / 3);      // (k - 1) / (E - 1)
  EXPECT_DOUBLE_EQ(number_in(table, pair_of("adjacent_rank", 0, 1), "chance"), 4.0 / 9);  // 2 (k - 1) / (k (E - 1))
  EXPECT_EQ(table.rows[0][table.column("probability")], Json(1.0));                       // largest first
  EXPECT_EQ(cell(table, pair_of("all_pairs", 0, 1), "tokens_a"), Json(3));
  const auto all = table_of(tables, "coactivation_all");
  EXPECT_EQ(all.rows.size(), 6u);
  EXPECT_EQ(cell(all, {{"expert_a", 0}, {"expert_b", 2}}, "together"), Json(3));
  EXPECT_EQ(cell(all, {{"expert_a", 0}, {"expert_b", 2}}, "adjacent_rank"), Json(1));
}

TEST(Coactivation, PutsExpertsThatGoTogetherSideBySide) {
  // 0 with 3, 1 with 2, always.
  const auto tables = observed(input_of({{0, 4, 2}}, 9, 4),
                               batch_of({1, 1, 1, 1}, 4, {routing_of({{0, 3}, {1, 2}, {3, 0}, {2, 1}}, 4, 2)}));
  const auto order = table_of(tables, "coactivation_order");
  std::vector<int64_t> experts;
  for (const auto& row : order.rows)
    if (row[order.column("mode")] == Json("all_pairs")) experts.push_back(row[order.column("expert")].as_int());
  EXPECT_EQ(experts, (std::vector<int64_t>{0, 3, 1, 2}));
}

TEST(Coactivation, KeepsTheThousandLargestOfBothModes) {
  const int64_t T = 3000;
  const auto tables =
      observed(input_of({{0, 40, 4}}, 9, 100),
               batch_of(std::vector<int64_t>(T, 1), 100, {routing_of(testing::uniform_experts(T, 40, 4, 3), 40, 4)}));
  const auto table = table_of(tables, "coactivation");
  ASSERT_EQ(table.rows.size(), 1000u);
  size_t n_adjacent = 0;
  double last = 1;
  for (const auto& row : table.rows) {
    const bool is_adjacent = row[table.column("mode")] == Json("adjacent_rank");
    if (is_adjacent && n_adjacent++ == 0) last = 1;
    const double probability = row[table.column("probability")].as_double();
    EXPECT_LE(probability, last);
    last = probability;
  }
  EXPECT_EQ(n_adjacent, 500u);
  EXPECT_EQ(table_of(tables, "coactivation_all").rows.size(), 40u * 39 / 2);
}

TEST(Coactivation, GivesItsChanceUnderUniformRouting) {
  const int64_t T = 4000, E = 8, k = 3;
  const auto table = table_of(
      observed(input_of({{0, E, k}}, 9, 100),
               batch_of(std::vector<int64_t>(T, 1), 100, {routing_of(testing::uniform_experts(T, E, k, 3), E, k)})),
      "coactivation");
  EXPECT_EQ(table.rows.size(), 2u * 56);
  for (const auto& row : table.rows) {  // four standard errors of a share of T k / E = 1,500 tokens
    const double chance = row[table.column("chance")].as_double();
    EXPECT_NEAR(row[table.column("probability")].as_double(), chance,
                4 * std::sqrt(chance * (1 - chance) / (T * k / static_cast<double>(E))));
  }
}

TEST(Coactivation, CountsTheChanceOfRoutersThatDoNotGiveExactlyK) {
  // Sizes 3, 1, 0, 2: ordered pairs 6 + 0 + 0 + 2 of 6 assignments and 3 other experts.
  const auto table = table_of(observed(input_of({{0, 4, 2}}, 9, 4),
                                       batch_of({1, 1, 1, 1}, 4, {routing_of({{0, 1, 2}, {3}, {}, {0, 3}}, 4, 2)})),
                              "coactivation");
  EXPECT_DOUBLE_EQ(number_in(table, pair_of("all_pairs", 0, 1), "chance"), 8.0 / (6 * 3));
  EXPECT_DOUBLE_EQ(number_in(table, pair_of("adjacent_rank", 0, 1), "chance"), 6.0 / (6 * 3));
}

TEST(Coactivation, ComparesWithAReference) {
  auto input = input_of({{0, 3, 2}, {1, 3, 2}}, 9, 2);
  input.reference = "before";
  const auto same = routing_of({{0, 1}, {1, 2}}, 3, 2, 1);
  auto batch = batch_of({1, 1}, 2, {routing_of({{0, 2}, {1, 2}}, 3, 2), same});
  batch.reference = {routing_of({{0, 1}, {1, 2}}, 3, 2), same};
  const auto tables = observed(input, batch);
  const auto change = table_of(tables, "coactivation_change");
  testing::Where where = pair_of("all_pairs", 0, 1);
  where.emplace_back("layer", 0);
  EXPECT_DOUBLE_EQ(number_in(change, where, "change"), -1.0);
  EXPECT_DOUBLE_EQ(number_in(change, where, "from"), 1.0);
  EXPECT_DOUBLE_EQ(number_in(change, where, "to"), 0.0);
  const auto by_layer = table_of(tables, "coactivation_change_by_layer");
  EXPECT_DOUBLE_EQ(number_in(by_layer, {{"layer", 1}, {"mode", "all_pairs"}}, "largest_absolute_change"), 0.0);
  // Layer 0: 0->1 -1, 0->2 +1, 1->0 -.5, 1->2 +.5, 2->0 +.5, 2->1 -.5.
  EXPECT_DOUBLE_EQ(number_in(by_layer, {{"layer", 0}, {"mode", "all_pairs"}}, "mean_absolute_change"), 4.0 / 6);
}

TEST(Coactivation, HasNoPairsWhereATokenHasOneExpert) {
  const auto analysis = make_coactivation_analysis(input_of({{0, 4, 1}}, 9, 2));
  analysis->observe(batch_of({1, 1}, 2, {routing_of({{0}, {3}}, 4, 1)}));
  EXPECT_TRUE(table_of(analysis->tables(), "coactivation").rows.empty());
  EXPECT_NE(analysis->notes()[0].find("one expert in layer 0"), std::string::npos);
}

TEST(Coactivation, ReproducesTheGoldenStream) {
  const auto golden = testing::golden_stream();
  const auto table = table_of(observed(golden.input, golden.batch), "coactivation");
  for (size_t layer = 0; layer < golden.layers.size(); ++layer)
    for (const auto& [mode, rows] : golden.layers.at(layer).at("coactivation").as_object())
      for (size_t a = 0; a < rows.size(); ++a)
        for (size_t b = 0; b < rows.size(); ++b) {
          if (a == b) continue;
          auto where = pair_of(mode.c_str(), static_cast<int64_t>(a), static_cast<int64_t>(b));
          where.emplace_back("layer", static_cast<int64_t>(layer));
          testing::expect_close(number_in(table, where, "probability"), rows.at(a).at(b).as_double(), golden.rtol,
                                golden.atol, mode);
        }
}

TEST(Coactivation, ChanceOfAChangeIsThatOfTwoUniformRouters) {
  // Over 300 tables of 80 tokens: 30 of an expert, so that the normal limit would not do for adjacent ranks.
  const testing::UniformShape shape{.n_windows = 2};
  for (const char* mode : {"all_pairs", "adjacent_rank"}) {
    double change = 0, square = 0, chance = 0;
    for (uint64_t seed = 1; seed <= testing::kTables; ++seed) {
      const auto table = table_of(observed(testing::uniform_input(shape), testing::uniform_batch(shape, seed)),
                                  "coactivation_change_by_layer");
      const double mean = number_in(table, {{"mode", mode}}, "mean_absolute_change");
      change += mean / testing::kTables;
      square += mean * mean / testing::kTables;
      chance += number_in(table, {{"mode", mode}}, "chance") / testing::kTables;
    }
    EXPECT_NEAR(change, chance, 4 * std::sqrt((square - change * change) / testing::kTables))
        << mode;  // four standard errors
  }
  const auto change =
      table_of(observed(testing::uniform_input(shape), testing::uniform_batch(shape, 1)), "coactivation_change");
  EXPECT_FALSE(change.chance);  // each row has its own
  // One token of expert 0 on each side: P(b | a) is 0 or 1, and they differ with probability 2 p (1 - p), p = (k - 1) /
  // (E - 1) = 1/3.
  auto input = input_of({{0, 4, 2}}, 9, 2);
  input.reference = "before";
  auto batch = batch_of({1, 1}, 2, {routing_of({{0, 1}, {2, 3}}, 4, 2)});
  batch.reference = {routing_of({{0, 2}, {1, 3}}, 4, 2)};
  EXPECT_DOUBLE_EQ(
      number_in(table_of(observed(input, batch), "coactivation_change"), pair_of("all_pairs", 0, 1), "chance"),
      4.0 / 9);
  batch.routing = {routing_of({{0, 1}, {2}}, 4, 2)};
  EXPECT_TRUE(
      cell(table_of(observed(input, batch), "coactivation_change"), pair_of("all_pairs", 0, 1), "chance").is_null());
}

TEST(Coactivation, ListsThePairsOfBothSidesOnce) {
  auto input = input_of({{0, 4, 2}}, 9, 3);
  input.reference = "before";
  auto batch = batch_of({1, 1, 1}, 3, {routing_of({{0, 1}, {0, 2}, {1, 2}}, 4, 2)});
  batch.reference = {routing_of({{0, 1}, {1, 0}, {0, 2}}, 4, 2)};
  const auto tables = observed(input, batch);
  const auto all = table_of(tables, "coactivation_change_all");
  EXPECT_EQ(all.rows.size(), 6u);  // expert 3 has no tokens, but those of the other have
  const std::vector<int64_t> counts = {3, 2, 2, 2, 2, 2, 1, 1};
  const auto row = std::find_if(all.rows.begin(), all.rows.end(),
                                [](const auto& cells) { return cells[1] == Json(0) && cells[2] == Json(1); });
  for (size_t i = 0; i < counts.size(); ++i) EXPECT_EQ(row->at(3 + i), Json(counts[i])) << all.columns[3 + i].name;
  const auto change =
      table_of(tables, "coactivation_change");  // from them: to_together / to_tokens_a - from_together / from_tokens_a
  EXPECT_DOUBLE_EQ(number_in(change, pair_of("all_pairs", 0, 1), "change"), 1.0 / 2 - 2.0 / 3);
  for (const auto& table : tables)
    EXPECT_EQ(table.csv_only, table.name == "coactivation_all" || table.name == "coactivation_change_all")
        << table.name;
}

}  // namespace
}  // namespace evenkeel::analysis
