#include <gtest/gtest.h>

#include "analysis/analyses/test_support.h"
#include "golden/analyses.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_drops_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::Experts;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

at::Tensor flags(const std::vector<int64_t>& values) { return at::tensor(values).to(at::kBool); }

TEST(Drops, CountsByHand) {
  // Two sequences of two; position 0: nothing and one of two dropped; position 1: both and one.
  auto batch = batch_of({1, 1, 1, 1}, 2, {routing_of({{0, 1}, {0, 2}, {0, 1}, {1, 2}}, 4, 2, 3)});
  batch.routing[0].dropped = flags({0, 0, 1, 1, 0, 1, 1, 0});
  batch.routing[0].capacity = 2;
  const auto analysis = make_drops_analysis(input_of({{3, 4, 2}}, 9, 2));
  analysis->observe(batch);
  EXPECT_TRUE(analysis->notes().empty());
  const auto by_position = table_of(analysis->tables(), "drop_by_position");
  ASSERT_EQ(by_position.rows.size(), 2u);
  EXPECT_DOUBLE_EQ(number_in(by_position, {{"position_from", 0}}, "any_dropped"), 0.5);
  EXPECT_DOUBLE_EQ(number_in(by_position, {{"position_from", 0}}, "all_dropped"), 0.0);
  EXPECT_DOUBLE_EQ(number_in(by_position, {{"position_from", 1}}, "any_dropped"), 1.0);
  EXPECT_DOUBLE_EQ(number_in(by_position, {{"position_from", 1}}, "all_dropped"), 0.5);
  EXPECT_EQ(cell(by_position, {{"position_from", 1}}, "position_to"), Json(2));
  const auto drops = table_of(analysis->tables(), "drops");
  EXPECT_DOUBLE_EQ(number_in(drops, {}, "dropped"), 4.0 / 8);
  EXPECT_DOUBLE_EQ(number_in(drops, {}, "any_dropped"), 3.0 / 4);
  EXPECT_DOUBLE_EQ(number_in(drops, {}, "all_dropped"), 1.0 / 4);
  EXPECT_EQ(cell(drops, {}, "capacity_least"), Json(2));
  EXPECT_EQ(cell(drops, {}, "capacity_most"), Json(2));
}

TEST(Drops, LeavesOutPaddingAndTokensWithoutAnExpert) {
  auto batch = batch_of({1, 1, 1, 1}, 4, {routing_of({{0}, {}, {1}, {1}}, 2, 1)});
  batch.routing[0].dropped = flags({1, 0, 1});
  batch.is_padding = at::tensor(std::vector<int64_t>{0, 0, 0, 1}).view({1, 4}).to(at::kBool);
  const auto analysis = make_drops_analysis(input_of({{0, 2, 1}}, 9, 4));
  analysis->observe(batch);
  const auto drops = table_of(analysis->tables(), "drops");
  EXPECT_DOUBLE_EQ(number_in(drops, {}, "dropped"), 0.5);
  EXPECT_DOUBLE_EQ(number_in(drops, {}, "all_dropped"), 0.5);  // of two tokens with an expert
  EXPECT_DOUBLE_EQ(number_in(drops, {}, "without_expert"), 1.0 / 3);
  EXPECT_TRUE(cell(table_of(analysis->tables(), "drop_by_position"), {{"position_from", 3}}, "any_dropped").is_null());
}

TEST(Drops, SeesThemRiseTowardsTheEnd) {
  // Capacity fills within a sequence: the first 20 tokens of 32 find room (acceptance row A5).
  std::vector<int64_t> dropped;
  for (int64_t t = 0; t < 64; ++t) dropped.push_back(t % 32 >= 20 ? 1 : 0);
  auto batch = batch_of(std::vector<int64_t>(64, 1), 32, {routing_of(Experts(64, {1}), 2, 1)});
  batch.routing[0].dropped = flags(dropped);
  const auto analysis = make_drops_analysis(input_of({{0, 2, 1}}, 9, 32));
  analysis->observe(batch);
  const auto table = table_of(analysis->tables(), "drop_by_position");
  ASSERT_EQ(table.rows.size(), 16u);  // bins of two positions
  for (const auto& row : table.rows)
    EXPECT_DOUBLE_EQ(row[table.column("any_dropped")].as_double(),
                     row[table.column("position_from")].as_int() >= 20 ? 1.0 : 0.0);
}

TEST(Drops, MeasuresHowFarTheLoadIsFromTheFirstDataSet) {
  const auto analysis = make_drops_analysis(input_of({{0, 2, 1}}, 9, 4, {"home", "away"}));
  auto batch = batch_of({1, 1, 1, 1}, 4, {routing_of({{0}, {1}, {0}, {1}}, 2, 1)});
  analysis->observe(batch);
  batch.data = 1;
  batch.routing = {routing_of({{0}, {0}, {0}, {1}}, 2, 1)};
  analysis->observe(batch);
  const auto table = table_of(analysis->tables(), "drops");
  EXPECT_EQ(number_in(table, {{"domain", "home"}}, "load_distance"), 0.0);
  EXPECT_DOUBLE_EQ(number_in(table, {{"domain", "away"}}, "load_distance"), 0.25);
  EXPECT_EQ(analysis->notes().size(), 1u);  // no capacity
  EXPECT_DOUBLE_EQ(number_in(table, {{"domain", "away"}}, "dropped"), 0.0);
}

TEST(Drops, ReproducesTheGoldenStream) {
  const auto golden = testing::golden_stream();
  const auto analysis = make_drops_analysis(golden.input);
  analysis->observe(golden.batch);
  const auto table = table_of(analysis->tables(), "drop_by_position");
  for (size_t layer = 0; layer < golden.layers.size(); ++layer) {
    const auto& need = golden.layers.at(layer).at("drops");
    for (size_t p = 0; p < need.size(); ++p) {
      const testing::Where where = {{"layer", static_cast<int64_t>(layer)}, {"position_from", static_cast<int64_t>(p)}};
      EXPECT_EQ(cell(table, where, "tokens"), need.at(p).at("tokens"));
      testing::expect_close(number_in(table, where, "any_dropped"), need.at(p).at("any").as_double(), golden.rtol,
                            golden.atol, "any");
      testing::expect_close(number_in(table, where, "all_dropped"), need.at(p).at("all").as_double(), golden.rtol,
                            golden.atol, "all");
    }
  }
}

TEST(Drops, IntervalsHoldTheTruthWhereWindowsDiffer) {
  // A window drops a fifth of its assignments at random, or none: a tenth of all, a tenth in each bin.
  const auto make = [](const std::string& name) {
    return [name](uint64_t seed) {
      constexpr int64_t kWindows = 30, kLength = 32;
      RngStream rng(seed, "drops");
      std::vector<int64_t> dropped;
      uint64_t drops = 0;
      for (int64_t t = 0; t < kWindows * kLength; ++t) {
        if (t % kLength == 0) drops = rng.below(2);
        dropped.push_back(drops == 1 && rng.below(5) == 0 ? 1 : 0);
      }
      auto batch = batch_of(std::vector<int64_t>(kWindows * kLength, 1), kLength,
                            {routing_of(Experts(kWindows * kLength, {1}), 2, 1)});
      batch.routing[0].dropped = flags(dropped);
      batch.routing[0].capacity = 9;
      const auto analysis = make_drops_analysis(input_of({{0, 2, 1}}, 9, kLength));
      analysis->observe(batch);
      return table_of(analysis->tables(), name);
    };
  };
  for (const std::string value : {"dropped", "any_dropped", "all_dropped"})
    EXPECT_GE(testing::share_held(make("drops"), {{}, value, 0.1}), testing::kLeastHeld) << value;
  EXPECT_GE(testing::share_held(make("drop_by_position"), {{{"position_from", 8}}, "any_dropped", 0.1}),
            testing::kLeastHeld);
}

TEST(Drops, SaysNoIntervalWithoutACapacity) {
  const auto analysis = make_drops_analysis(input_of({{0, 2, 1}}, 9, 2));
  analysis->observe(batch_of(std::vector<int64_t>(20, 1), 2, {routing_of(Experts(20, {1}), 2, 1)}));
  EXPECT_DOUBLE_EQ(number_in(table_of(analysis->tables(), "drops"), {}, "dropped"), 0.0);
  EXPECT_TRUE(cell(table_of(analysis->tables(), "drops"), {}, "dropped_high").is_null());
}

TEST(Drops, BinsAreThoseOfTheSequenceLengthWhereThereAreFewerTokens) {
  const auto analysis = make_drops_analysis(input_of({{0, 2, 1}}, 9, 64));
  analysis->observe(batch_of(std::vector<int64_t>(6, 1), 6, {routing_of(Experts(6, {1}), 2, 1)}));
  const auto table = table_of(analysis->tables(), "drop_by_position");
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(cell(table, {{"position_from", 4}}, "position_to"), Json(6));
  EXPECT_EQ(cell(table, {{"position_from", 4}}, "tokens"), Json(2));
}

}  // namespace
}  // namespace evenkeel::analysis
