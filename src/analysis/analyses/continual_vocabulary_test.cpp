#include <gtest/gtest.h>

#include "analysis/analyses/test_support.h"
#include "golden/analyses.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_continual_vocabulary_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::Experts;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

Table continual_table(const AnalysisInput& input, const Observation& batch) {
  const auto analysis = make_continual_vocabulary_analysis(input);
  analysis->observe(batch);
  EXPECT_TRUE(analysis->notes().empty());
  return table_of(analysis->tables(), "continual_vocabulary");
}

TEST(ContinualVocabulary, HitsByHand) {
  // Before, id 4 goes to 0 0 1, so its expert is 0; id 5 to 2. After: 0 1 1 and 2; with two choices each.
  auto input = input_of({{0, 3, 2}}, 9, 4);
  input.reference = "before";
  input.minimum_count = 2;
  auto batch = batch_of({4, 4, 4, 5}, 4, {routing_of({{0, 1}, {1, 2}, {1, 0}, {2, 1}}, 3, 2)});
  batch.reference = {routing_of({{0, 2}, {0, 1}, {1, 2}, {2, 0}}, 3, 2)};
  const auto table = continual_table(input, batch);
  const testing::Where all = {{"k", 1}, {"minimum_count", 1}}, frequent = {{"k", 1}, {"minimum_count", 2}};
  EXPECT_DOUBLE_EQ(number_in(table, all, "hit_rate"), 2.0 / 4);  // occurrences: the first 4, and 5
  EXPECT_DOUBLE_EQ(number_in(table, all, "hit_rate_from"), 3.0 / 4);
  EXPECT_DOUBLE_EQ(number_in(table, all, "mean"), (1.0 / 3 + 1.0) / 2);  // over ids
  EXPECT_DOUBLE_EQ(number_in(table, frequent, "hit_rate"), 1.0 / 3);
  EXPECT_EQ(cell(table, frequent, "ids"), Json(1));
  EXPECT_DOUBLE_EQ(number_in(table, all, "chance"), 1.0 / 3);
  // k = 2: before, 4 has 0 and 1 and 2 twice each: the lowest, 0; id 5 likewise 0. After, 0 is there in two of three,
  // and not for 5.
  EXPECT_DOUBLE_EQ(number_in(table, {{"k", 2}, {"minimum_count", 1}}, "hit_rate"), 2.0 / 4);
  EXPECT_DOUBLE_EQ(number_in(table, {{"k", 2}, {"minimum_count", 1}}, "chance"), 2.0 / 3);
}

TEST(ContinualVocabulary, KeepsAllOfTheSameModelAndChanceOfAnotherOne) {
  const int64_t T = 5000, E = 8;
  const auto ids = testing::uniform_ids(T, 25, 3);
  Experts own;
  for (const int64_t id : ids) own.push_back({id % E});
  auto input = input_of({{0, E, 1}}, 25, 100);
  input.reference = "before";
  auto batch = batch_of(ids, 100, {routing_of(own, E, 1)});
  batch.reference = batch.routing;
  EXPECT_DOUBLE_EQ(number_in(continual_table(input, batch), {{"minimum_count", 10}}, "hit_rate"), 1.0);
  batch.routing = {routing_of(testing::uniform_experts(T, E, 1, 6), E, 1)};
  EXPECT_NEAR(number_in(continual_table(input, batch), {{"minimum_count", 10}}, "hit_rate"), 0.125,
              4 * std::sqrt(0.125 * 0.875 / T));  // four standard errors
}

TEST(ContinualVocabulary, ReproducesTheGoldenStream) {
  const auto golden = testing::golden_stream();
  const auto table = continual_table(golden.input, golden.batch);
  for (size_t layer = 0; layer < golden.layers.size(); ++layer)
    for (const auto& [k, need] : golden.layers.at(layer).at("continual").as_object())
      for (const std::string column : {"hit_rate", "hit_rate_from", "load_chance"})
        testing::expect_close(
            number_in(
                table,
                {{"layer", static_cast<int64_t>(layer)}, {"k", Json(int64_t{std::stoi(k)})}, {"minimum_count", 1}},
                column),
            need.at(column).as_double(), golden.rtol, golden.atol, k + column);
}

TEST(ContinualVocabulary, NeedsAReference) {
  const auto analysis = make_continual_vocabulary_analysis(input_of({{0, 2, 1}}, 9, 1));
  analysis->observe(batch_of({0}, 1, {routing_of({{0}}, 2, 1)}));
  EXPECT_TRUE(analysis->tables().empty());
  EXPECT_EQ(analysis->notes().size(), 1u);
}

TEST(ContinualVocabulary, IntervalsHoldTheChanceOfUniformRouting) {
  const auto make = [](uint64_t seed) {
    return continual_table(testing::uniform_input({}), testing::uniform_batch({}, seed));
  };
  for (const int64_t k : {1, 3}) {
    const testing::Where where = {{"k", k}, {"minimum_count", 10}};
    EXPECT_GE(testing::share_held(make, {where, "hit_rate", "chance"}), testing::kLeastHeld) << k;
    EXPECT_GE(testing::share_held(make, {where, "mean", "chance"}), testing::kLeastHeld) << k;
  }
}

}  // namespace
}  // namespace evenkeel::analysis
