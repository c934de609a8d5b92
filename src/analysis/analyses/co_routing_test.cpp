#include <gtest/gtest.h>

#include "golden/analyses.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_co_routing_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::Experts;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

TEST(CoRouting, AlignsRanksOfNeighbouringLayersByHand) {
  const auto analysis = make_co_routing_analysis(input_of({{2, 3, 2}, {5, 4, 2}}, 9, 3));
  // Layer 2, then layer 5: first choices 0->3, 0->3, 1->0; second 1->2, 2->1, 0->3.
  analysis->observe(batch_of(
      {1, 1, 1}, 3, {routing_of({{0, 1}, {0, 2}, {1, 0}}, 3, 2, 2), routing_of({{3, 2}, {3, 1}, {0, 3}}, 4, 2, 5)}));
  const auto table = table_of(analysis->tables(), "co_routing");
  const testing::Where first = {{"mode", "first_choice"}, {"expert_from", 0}, {"expert_to", 3}},
                       same = {{"mode", "same_rank"}, {"expert_from", 0}, {"expert_to", 3}};
  EXPECT_EQ(cell(table, first, "count"), Json(2));
  EXPECT_EQ(cell(table, same, "count"), Json(3));
  EXPECT_DOUBLE_EQ(number_in(table, first, "probability"), 1.0);
  EXPECT_DOUBLE_EQ(number_in(table, first, "chance"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(number_in(table, same, "chance"), 3.0 / 6);
  // All that expert 0 sends, that expert 3 receives, and all there is.
  EXPECT_EQ(cell(table, first, "tokens_from"), Json(2));
  EXPECT_EQ(cell(table, first, "tokens_to"), Json(2));
  EXPECT_EQ(cell(table, first, "total"), Json(3));
  EXPECT_EQ(cell(table, {{"mode", "same_rank"}, {"expert_from", 1}, {"expert_to", 2}}, "tokens_from"), Json(2));
  EXPECT_EQ(cell(table, same, "tokens_to"), Json(3));
  EXPECT_EQ(cell(table, same, "total"), Json(6));
  EXPECT_EQ(cell(table, first, "layer_from"), Json(2));
  EXPECT_EQ(cell(table, first, "layer_to"), Json(5));
  EXPECT_TRUE(analysis->notes().empty());
}

TEST(CoRouting, KeepsTheTwentyLargestFlowsOfAPair) {
  const auto analysis = make_co_routing_analysis(input_of({{0, 8, 1}, {1, 8, 1}}, 9, 100));
  analysis->observe(batch_of(std::vector<int64_t>(2000, 1), 100,
                             {routing_of(testing::uniform_experts(2000, 8, 1, 1), 8, 1),
                              routing_of(testing::uniform_experts(2000, 8, 1, 2), 8, 1, 1)}));
  const auto tables = analysis->tables();
  EXPECT_EQ(table_of(tables, "co_routing").rows.size(), 40u);  // of both modes
  const auto all = table_of(tables, "co_routing_all");
  EXPECT_EQ(all.rows.size(), 128u);
  for (const auto& row : all.rows) {  // independent layers: four standard errors of a share of 250 tokens, and of 2,000
    EXPECT_NEAR(row[all.column("probability")].as_double(), row[all.column("chance")].as_double(),
                4 * std::sqrt(0.125 * 0.875 / 250));
    EXPECT_NEAR(row[all.column("chance")].as_double(), 0.125, 4 * std::sqrt(0.125 * 0.875 / 2000));
    EXPECT_EQ(row[all.column("total")], Json(2000));
  }
}

TEST(CoRouting, FindsWhereAnExpertsTokensGo) {
  // Expert e of the first layer sends all to 3 - e, and every expert is as busy: four times chance.
  Experts from, to;
  for (int64_t t = 0; t < 400; ++t) {
    from.push_back({t % 4});
    to.push_back({3 - t % 4});
  }
  const auto analysis = make_co_routing_analysis(input_of({{0, 4, 1}, {1, 4, 1}}, 9, 100));
  analysis->observe(batch_of(std::vector<int64_t>(400, 1), 100, {routing_of(from, 4, 1), routing_of(to, 4, 1, 1)}));
  const auto table = table_of(analysis->tables(), "co_routing");
  EXPECT_EQ(table.rows.size(), 8u);  // of both modes
  for (int64_t e = 0; e < 4; ++e) {
    const testing::Where where = {{"mode", "first_choice"}, {"expert_from", e}, {"expert_to", 3 - e}};
    EXPECT_DOUBLE_EQ(number_in(table, where, "probability"), 1.0);
    EXPECT_DOUBLE_EQ(number_in(table, where, "chance"), 0.25);
  }
}

TEST(CoRouting, NeedsTwoLayers) {
  const auto analysis = make_co_routing_analysis(input_of({{0, 3, 1}}, 9, 1));
  analysis->observe(batch_of({1}, 1, {routing_of({{0}}, 3, 1)}));
  EXPECT_TRUE(table_of(analysis->tables(), "co_routing").rows.empty());
  EXPECT_EQ(analysis->notes().size(), 1u);
}

TEST(CoRouting, ReproducesTheGoldenStream) {
  const auto golden = testing::golden_stream();
  const auto analysis = make_co_routing_analysis(golden.input);
  analysis->observe(golden.batch);
  const auto table = table_of(analysis->tables(), "co_routing_all");
  for (size_t a = 0; a < golden.co_routing.size(); ++a)
    for (size_t b = 0; b < golden.co_routing.at(a).size(); ++b) {
      const int64_t need = golden.co_routing.at(a).at(b).as_int();
      if (need == 0) continue;  // has no row
      EXPECT_EQ(
          cell(
              table,
              {{"mode", "same_rank"}, {"expert_from", static_cast<int64_t>(a)}, {"expert_to", static_cast<int64_t>(b)}},
              "count"),
          Json(need));
    }
}

}  // namespace
}  // namespace evenkeel::analysis
