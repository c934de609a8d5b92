#include <gtest/gtest.h>

#include "analysis/id_stats.h"
#include "golden/analyses.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_token_specialization_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::Experts;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

std::vector<NamedTable> observed(const AnalysisInput& input, const Observation& batch) {
  const auto analysis = make_token_specialization_analysis(input);
  analysis->observe(batch);
  return analysis->tables();
}

TEST(TokenSpecialization, AveragesTheDeviationOfIdsByHand) {
  // Id 1: assignments 2 2 0 0 of 2 tokens; id 2: 2 1 1 0 of 2 tokens; id 3 once.
  auto input = input_of({{6, 4, 2}}, 9, 5);
  input.minimum_count = 2;
  input.chosen_ids = {2, 8};
  const auto analysis = make_token_specialization_analysis(input);
  analysis->observe(batch_of({1, 1, 2, 2, 3}, 5, {routing_of({{0, 1}, {1, 0}, {0, 1}, {0, 2}, {3, 2}}, 4, 2, 6)}));
  EXPECT_EQ(analysis->notes(),
            std::vector<std::string>{"token_id_specialization: no rows for id 8, which does not occur in text"});
  const auto tables = analysis->tables();
  const auto means = table_of(tables, "token_specialization");
  ASSERT_EQ(means.rows.size(), 1u);
  EXPECT_EQ(cell(means, {{"layer", 6}}, "ids"), Json(2));
  EXPECT_EQ(cell(means, {{"layer", 6}}, "occurrences"), Json(4));
  EXPECT_DOUBLE_EQ(number_in(means, {{"layer", 6}}, "std"), (0.25 + std::sqrt((0.0625 + 0.0625) / 4)) / 2);
  EXPECT_DOUBLE_EQ(number_in(means, {{"layer", 6}}, "baseline_std"), std::sqrt(0.5 / (2 * 2 * 4)));
  const auto ids = table_of(tables, "token_id_specialization");
  ASSERT_EQ(ids.rows.size(), 1u);  // id 8 does not occur
  EXPECT_DOUBLE_EQ(number_in(ids, {{"id", 2}}, "std"), std::sqrt(0.125 / 4));
  EXPECT_EQ(cell(ids, {{"id", 2}}, "expert"), Json(0));
  EXPECT_DOUBLE_EQ(number_in(ids, {{"id", 2}}, "max_share"), 0.5);
  EXPECT_DOUBLE_EQ(number_in(ids, {{"id", 2}}, "top_2_share"), 0.75);
  // Two tokens of 2 experts in 4: the sets are disjoint with 1/6, and then the largest share of four assignments is
  // 1/4, else 1/2.
  EXPECT_NEAR(number_in(ids, {{"id", 2}}, "chance_max_share"), (1.0 / 6) / 4 + (5.0 / 6) / 2,
              0.005);  // simulated, within 1 %
  EXPECT_DOUBLE_EQ(number_in(table_of(tables, "token_id_shares"), {{"id", 2}, {"expert", 2}}, "share"), 0.25);
}

TEST(TokenSpecialization, LeavesOutIdsUpTo128OccurrencesByDefault) {
  std::vector<int64_t> ids(257, 1);
  std::fill(ids.begin() + 129, ids.end(), 2);  // 129 of id 1, 128 of id 2
  const auto tables =
      observed(input_of({{0, 4, 1}}, 9, 257), batch_of(ids, 257, {routing_of(Experts(257, {3}), 4, 1)}));
  const auto means = table_of(tables, "token_specialization");
  EXPECT_EQ(cell(means, {}, "ids"), Json(1));
  EXPECT_EQ(cell(means, {}, "minimum_count"), Json(129));
  EXPECT_DOUBLE_EQ(number_in(means, {}, "std"), std::sqrt(3.0) / 4);  // always the same expert: the ceiling
}

TEST(TokenSpecialization, GivesItsBaselineUnderUniformRoutingAndFindsAnExpertForAnId) {
  const int64_t T = 12'000, E = 32, k = 2;
  const auto ids = testing::uniform_ids(T, 40, 4);
  auto experts = testing::uniform_experts(T, E, k, 5);
  const auto input = input_of({{0, E, k}}, 40, 100);
  const auto uniform =
      table_of(observed(input, batch_of(ids, 100, {routing_of(experts, E, k)})), "token_specialization");
  // One id's deviation varies by 1 / sqrt(2 * 31) = 13 %, the mean of 40 by 2 %; four of them.
  EXPECT_NEAR(number_in(uniform, {}, "std") / number_in(uniform, {}, "chance_std"), 1.0, 0.08);
  EXPECT_NEAR(number_in(uniform, {}, "std") / number_in(uniform, {}, "baseline_std"), 1.0, 0.08);
  for (size_t t = 0; t < ids.size(); ++t) experts[t] = {ids[t] % E, (ids[t] + 7) % E};
  const auto planted =
      table_of(observed(input, batch_of(ids, 100, {routing_of(experts, E, k)})), "token_specialization");
  EXPECT_NEAR(number_in(planted, {}, "std"), 0.121, 5e-4);  // OpenMoE's ceiling (acceptance row A6)
}

TEST(TokenSpecialization, HasNoBaselineForRoutersThatDoNotGiveExactlyK) {
  auto input = input_of({{4, 3, 2}}, 9, 2);
  input.minimum_count = 1;
  const auto analysis = make_token_specialization_analysis(input);
  analysis->observe(batch_of({1, 1}, 2, {routing_of({{0, 1, 2}, {1}}, 3, 2, 4)}));
  const auto table = table_of(analysis->tables(), "token_specialization");
  EXPECT_DOUBLE_EQ(number_in(table, {}, "std"),
                   std::sqrt((2 * 1.0 / 144 + 1.0 / 36) / 3));  // shares 1/4, 1/2, 1/4 of four assignments
  EXPECT_TRUE(cell(table, {}, "baseline_std").is_null());
  EXPECT_EQ(analysis->notes(),
            std::vector<std::string>{
                "token_specialization: no chance level for layer 4; its router does not give every token k experts"});
}

TEST(TokenSpecialization, KeepsDataSetsApart) {
  auto input = input_of({{0, 2, 1}}, 9, 2, {"a", "b"});
  input.minimum_count = 1;
  const auto analysis = make_token_specialization_analysis(input);
  auto batch = batch_of({1, 1}, 2, {routing_of({{0}, {1}}, 2, 1)});
  analysis->observe(batch);
  batch.data = 1;
  batch.routing = {routing_of({{1}, {1}}, 2, 1)};
  analysis->observe(batch);
  const auto table = table_of(analysis->tables(), "token_specialization");
  EXPECT_DOUBLE_EQ(number_in(table, {{"domain", "a"}}, "std"), 0.0);
  EXPECT_DOUBLE_EQ(number_in(table, {{"domain", "b"}}, "std"), 0.5);
}

TEST(TokenSpecialization, ReproducesTheGoldenStream) {
  const auto golden = testing::golden_stream();
  const auto table = table_of(observed(golden.input, golden.batch), "token_specialization");
  for (size_t layer = 0; layer < golden.layers.size(); ++layer) {
    const auto& need = golden.layers.at(layer).at("token_std");
    const testing::Where where = {{"layer", static_cast<int64_t>(layer)}};
    EXPECT_EQ(cell(table, where, "ids"), need.at("ids"));
    for (const std::string column : {"std", "baseline_std", "load_std"})
      testing::expect_close(number_in(table, where, column), need.at(column).as_double(), golden.rtol, golden.atol,
                            column);
  }
}

}  // namespace
}  // namespace evenkeel::analysis
