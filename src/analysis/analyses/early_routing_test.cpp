#include <gtest/gtest.h>

#include "golden/analyses.h"
#include "support/observations.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_early_routing_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

// Id 7 four times, id 3 twice. Under the reference 7 goes to experts 0, 0, 0, 1; under the model to 0, 0, 2, 2.
Table followed(std::vector<int64_t> chosen) {
  auto input = input_of({{2, 3, 1}}, 9, 6);
  input.reference = "before";
  input.reference_step = 30;
  input.chosen_ids = std::move(chosen);
  input.token_texts = {"", "", "", "three", "", "", "", " seven"};
  const auto analysis = make_early_routing_analysis(input);
  auto batch = batch_of({7, 7, 7, 7, 3, 3}, 6, {routing_of({{0}, {0}, {2}, {2}, {1}, {1}}, 3, 1, 2)});
  batch.reference = {routing_of({{0}, {0}, {0}, {1}, {1}, {1}}, 3, 1, 2)};
  analysis->observe(batch);
  const bool is_there = input.chosen_ids.empty() || input.chosen_ids[0] == 7;
  EXPECT_EQ(analysis->notes(),
            is_there ? std::vector<std::string>()
                     : std::vector<std::string>{"early_routing: no rows for id 8, which does not occur in text"});
  return table_of(analysis->tables(), "early_routing");
}

TEST(EarlyRoutingAnalysis, ComparesTheDistributionsByHand) {
  const auto table = followed({7});
  ASSERT_EQ(table.rows.size(), 1u);
  EXPECT_DOUBLE_EQ(number_in(table, {{"id", 7}}, "overlap"), 0.5);  // min(.75, .5)
  EXPECT_DOUBLE_EQ(number_in(table, {{"id", 7}}, "cosine"),
                   6 / std::sqrt((9.0 + 1.0) * (4.0 + 4.0)));  // (3,1,0) and (2,0,2)
  EXPECT_EQ(cell(table, {{"id", 7}}, "expert"), Json(0));
  EXPECT_DOUBLE_EQ(number_in(table, {{"id", 7}}, "share_from"), 0.75);
  EXPECT_DOUBLE_EQ(number_in(table, {{"id", 7}}, "share_to"), 0.5);
  EXPECT_EQ(cell(table, {{"id", 7}}, "occurrences"), Json(4));
  EXPECT_EQ(cell(table, {{"id", 7}}, "text"), Json(" seven"));
  EXPECT_EQ(cell(table, {{"id", 7}}, "from"), Json("before"));
  EXPECT_EQ(cell(table, {{"id", 7}}, "from_step"), Json(30));
}

TEST(EarlyRoutingAnalysis, FollowsTheMostFrequentIdsWhereNoneAreChosen) {
  const auto table = followed({});
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[0][table.column("id")], Json(7));
  EXPECT_DOUBLE_EQ(number_in(table, {{"id", 3}}, "overlap"), 1.0);
  EXPECT_TRUE(followed({8}).rows.empty());  // does not occur
}

TEST(EarlyRoutingAnalysis, GivesItsChanceForIndependentModels) {
  const int64_t T = 6000;
  auto input = input_of({{0, 16, 2}}, 3, 100);
  input.reference = "other";
  const auto analysis = make_early_routing_analysis(input);
  auto batch = batch_of(testing::uniform_ids(T, 3, 5), 100, {routing_of(testing::uniform_experts(T, 16, 2, 1), 16, 2)});
  batch.reference = {routing_of(testing::uniform_experts(T, 16, 2, 2), 16, 2)};
  analysis->observe(batch);
  const auto table = table_of(analysis->tables(), "early_routing");
  ASSERT_EQ(table.rows.size(), 3u);
  for (int64_t id = 0; id < 3; ++id)  // sd of the L1 of 16 shares: about .6 sigma sqrt(16) / 2 = .005; four of them
    EXPECT_NEAR(number_in(table, {{"id", id}}, "overlap"), number_in(table, {{"id", id}}, "chance_overlap"), 0.02);
}

TEST(EarlyRoutingAnalysis, GivesItsChanceForRareIdsToo) {
  // 300 ids of about 10 occurrences, of 64 experts: two random routings overlap by a seventh, where the limit of many
  // would be 0.
  const int64_t T = 3000;
  auto input = input_of({{0, 64, 1}}, 300, 100);
  input.reference = "other";
  input.chosen_ids.resize(300);
  std::iota(input.chosen_ids.begin(), input.chosen_ids.end(), int64_t{0});
  const auto analysis = make_early_routing_analysis(input);
  auto batch =
      batch_of(testing::uniform_ids(T, 300, 5), 100, {routing_of(testing::uniform_experts(T, 64, 1, 1), 64, 1)});
  batch.reference = {routing_of(testing::uniform_experts(T, 64, 1, 2), 64, 1)};
  analysis->observe(batch);
  const auto table = table_of(analysis->tables(), "early_routing");
  ASSERT_EQ(table.rows.size(), 300u);
  for (const std::string column : {"overlap", "cosine"}) {
    double mean = 0, chance = 0;
    for (const auto& row : table.rows) {
      mean += row[table.column(column)].as_double() / 300;
      chance += row[table.column("chance_" + column)].as_double() / 300;
    }
    EXPECT_NEAR(mean, chance, 4 * 0.1 / std::sqrt(300)) << column;  // one id's deviation is about .1
    EXPECT_GT(chance, 0.1) << column;
  }
}

TEST(EarlyRoutingAnalysis, NeedsAReference) {
  const auto analysis = make_early_routing_analysis(input_of({{0, 2, 1}}, 9, 1));
  analysis->observe(batch_of({0}, 1, {routing_of({{0}}, 2, 1)}));
  EXPECT_TRUE(analysis->tables().empty());
  EXPECT_EQ(analysis->notes().size(), 1u);
}

TEST(EarlyRoutingAnalysis, OverlapAtTheLoadReproducesTheGoldenStream) {
  const auto golden = testing::golden_stream();
  const auto analysis = make_early_routing_analysis(golden.input);
  analysis->observe(golden.batch);
  const auto table = table_of(analysis->tables(), "early_routing");
  for (size_t layer = 0; layer < golden.layers.size(); ++layer)
    for (const auto& [id, value] : golden.layers.at(layer).at("overlap_at_load").as_object())
      testing::expect_close(
          number_in(table, {{"layer", static_cast<int64_t>(layer)}, {"id", Json(int64_t{std::stoi(id)})}},
                    "load_overlap"),
          value.as_double(), golden.rtol, golden.atol, id);
}

}  // namespace
}  // namespace evenkeel::analysis
