#include <gtest/gtest.h>

#include "analysis/routing_stats.h"
#include "analysis/analyses/test_support.h"
#include "golden/analyses.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_saturation_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::Experts;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

Table saturation_table(const AnalysisInput& input, const Observation& batch) {
  const auto analysis = make_saturation_analysis(input);
  analysis->observe(batch);
  return table_of(analysis->tables(), "saturation");
}
// The first layer of 4 tokens under both models.
Table two_models(const Experts& from, const Experts& to, int64_t n_experts, int64_t top_k) {
  auto input = input_of({{5, n_experts, top_k}}, 9, 4);
  input.reference = "before";
  input.reference_step = 0;
  auto batch = batch_of({0, 1, 2, 3}, 4, {routing_of(to, n_experts, top_k, 5)});
  batch.reference = {routing_of(from, n_experts, top_k, 5)};
  return saturation_table(input, batch);
}

TEST(SaturationAnalysis, IsTheOverlapByHand) {
  const auto table = two_models({{0, 1}, {2, 3}, {0, 2}, {1, 3}}, {{0, 1}, {3, 2}, {1, 3}, {1, 2}}, 4, 2);
  EXPECT_DOUBLE_EQ(number_in(table, {{"k", 1}}, "saturation"), 0.5);        // tokens 0 and 3
  EXPECT_DOUBLE_EQ(number_in(table, {{"k", 2}}, "saturation"), 5.0 / 8.0);  // 2 + 2 + 0 + 1: rank order does not matter
  EXPECT_DOUBLE_EQ(number_in(table, {{"k", 1}}, "chance"), 0.25);
  EXPECT_DOUBLE_EQ(number_in(table, {{"k", 2}}, "chance"), 0.5);
  EXPECT_EQ(cell(table, {{"k", 2}}, "arm"), Json("model"));
  EXPECT_EQ(cell(table, {{"k", 2}}, "from"), Json("before"));
  EXPECT_EQ(cell(table, {{"k", 2}}, "to"), Json("model"));
  EXPECT_EQ(cell(table, {{"k", 2}}, "from_step"), Json(0));
  EXPECT_EQ(cell(table, {{"k", 2}}, "layer"), Json(5));
  EXPECT_EQ(cell(table, {{"k", 2}}, "data"), Json("text"));
  EXPECT_EQ(table.tokens, 4);
}

TEST(SaturationAnalysis, PoolsRoutersThatDoNotGiveExactlyK) {
  // |from and to| = 2, 0, 1, 0 of |to| = 3, 0, 1, 1; first choices: token 1 has none after, token 3 none before.
  const auto table = two_models({{0, 1}, {2}, {3, 1}, {}}, {{1, 0, 2}, {}, {3}, {2}}, 4, 2);
  EXPECT_DOUBLE_EQ(number_in(table, {{"k", 2}}, "saturation"), 3.0 / 5.0);
  EXPECT_DOUBLE_EQ(number_in(table, {{"k", 2}}, "chance"), (2 * 3 + 0 + 2 * 1 + 0) / (4.0 * 5.0));
  EXPECT_DOUBLE_EQ(number_in(table, {{"k", 1}}, "saturation"), 0.5);  // of tokens 0 and 2
}

TEST(SaturationAnalysis, IsOneForTheSameModelAndChanceForAnIndependentOne) {
  const int64_t T = 4000;
  auto input = input_of({{0, 64, 8}}, 9, 100);
  input.reference = "other";
  const auto run = [&](const Experts& from) {
    auto batch = batch_of(std::vector<int64_t>(T, 1), 100, {routing_of(testing::uniform_experts(T, 64, 8, 1), 64, 8)});
    batch.reference = {routing_of(from, 64, 8)};
    return saturation_table(input, batch);
  };
  const auto same = run(testing::uniform_experts(T, 64, 8, 1)), other = run(testing::uniform_experts(T, 64, 8, 2));
  for (const int64_t k : {1, 8}) EXPECT_DOUBLE_EQ(number_in(same, {{"k", k}}, "saturation"), 1.0);
  // Acceptance row A7: 1.6 and 12.5 %. Four standard errors: sqrt(.0156 * .984 / 4000), and of the hypergeometric |A
  // and B| / 8.
  EXPECT_NEAR(number_in(other, {{"k", 1}}, "saturation"), 1.0 / 64, 4 * 0.0020);
  EXPECT_NEAR(number_in(other, {{"k", 8}}, "saturation"), 0.125, 4 * std::sqrt(8 * 0.125 * 0.875 * 56 / 63 / 64 / T));
  EXPECT_DOUBLE_EQ(number_in(other, {{"k", 8}}, "chance"), 0.125);
}

TEST(SaturationAnalysis, IsTheLiveMetricsFigure) {
  const auto from = testing::uniform_experts(50, 6, 3, 3), to = testing::uniform_experts(50, 6, 3, 4);
  auto input = input_of({{0, 6, 3}}, 9, 10);
  input.reference = "other";
  auto batch = batch_of(std::vector<int64_t>(50, 1), 10, {routing_of(to, 6, 3)});
  batch.reference = {routing_of(from, 6, 3)};
  const auto table = saturation_table(input, batch);
  EXPECT_TRUE(cell(table, {{"k", 1}}, "from_step").is_null());  // not known
  const auto live = count_saturation(batch.reference[0], batch.routing[0]);
  EXPECT_EQ(number_in(table, {{"k", 1}}, "saturation"), live.of_first());
  EXPECT_EQ(number_in(table, {{"k", 3}}, "saturation"), live.of_all());
  EXPECT_EQ(number_in(table, {{"k", 3}}, "chance"), live.chance_of_all());
}

TEST(SaturationAnalysis, ReproducesTheGoldenStream) {
  const auto golden = testing::golden_stream();
  const auto table = saturation_table(golden.input, golden.batch);
  for (size_t layer = 0; layer < golden.layers.size(); ++layer)
    for (const auto& [k, value] : golden.layers.at(layer).at("saturation").as_object())
      testing::expect_close(
          number_in(table, {{"layer", static_cast<int64_t>(layer)}, {"k", Json(int64_t{std::stoi(k)})}}, "saturation"),
          value.as_double(), golden.rtol, golden.atol, k);
  for (size_t layer = 0; layer < golden.layers.size(); ++layer)
    for (const auto& [k, value] : golden.layers.at(layer).at("saturation_at_load").as_object())
      testing::expect_close(
          number_in(table, {{"layer", static_cast<int64_t>(layer)}, {"k", Json(int64_t{std::stoi(k)})}}, "load_chance"),
          value.as_double(), golden.rtol, golden.atol, "at the load, " + k);
}

TEST(SaturationAnalysis, NeedsAReference) {
  const auto analysis = make_saturation_analysis(input_of({{0, 2, 1}}, 9, 1));
  analysis->observe(batch_of({0}, 1, {routing_of({{0}}, 2, 1)}));
  EXPECT_TRUE(analysis->tables().empty());
  EXPECT_EQ(analysis->notes(), std::vector<std::string>{"saturation: needs a reference model"});
}

TEST(SaturationAnalysis, IntervalsHoldTheChanceOfUniformRouting) {
  const auto make = [](uint64_t seed) {
    return saturation_table(testing::uniform_input({}), testing::uniform_batch({}, seed));
  };
  for (const int64_t k : {1, 3})
    EXPECT_GE(testing::share_held(make, {{{"k", k}}, "saturation", "chance"}), testing::kLeastHeld) << k;
}

TEST(SaturationAnalysis, IntervalsFollowTheSpreadBetweenWindows) {
  // Half of the tokens as before: every second one, or all of every second window.
  const auto width = [](auto is_kept) {
    auto input = input_of({{0, 2, 1}}, 9, 10);
    input.reference = "before";
    Experts to;
    for (int64_t t = 0; t < 80; ++t) to.push_back({is_kept(t) ? 0 : 1});
    auto batch = batch_of(std::vector<int64_t>(80, 1), 10, {routing_of(to, 2, 1)});
    batch.reference = {routing_of(Experts(80, {0}), 2, 1)};
    const auto table = saturation_table(input, batch);
    EXPECT_DOUBLE_EQ(number_in(table, {}, "saturation"), 0.5);
    return number_in(table, {}, "saturation_high") - number_in(table, {}, "saturation_low");
  };
  EXPECT_GT(width([](int64_t t) { return t / 10 % 2 == 0; }), 2 * width([](int64_t t) { return t % 2 == 0; }));
}

}  // namespace
}  // namespace evenkeel::analysis
