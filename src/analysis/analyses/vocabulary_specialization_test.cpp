#include <gtest/gtest.h>

#include "analysis/id_stats.h"
#include "analysis/analyses/test_support.h"
#include "golden/analyses.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_vocabulary_specialization_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::Experts;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

Table vocabulary_table(const AnalysisInput& input, const std::vector<Observation>& batches) {
  const auto analysis = make_vocabulary_specialization_analysis(input);
  for (const auto& batch : batches) analysis->observe(batch);
  return table_of(analysis->tables(), "vocabulary_specialization");
}

TEST(VocabularySpecialization, AveragesOverIdsAndCountsSingletonsByHand) {
  // Id 4 five times: first choices 0 0 0 1 2, expert 1 among the two in four of five. Id 6 once.
  auto input = input_of({{0, 4, 2}}, 9, 6);
  input.minimum_count = 2;
  const auto table = vocabulary_table(
      input, {batch_of({4, 4, 4, 4, 4, 6}, 6, {routing_of({{0, 1}, {0, 1}, {0, 1}, {1, 3}, {2, 3}, {3, 2}}, 4, 2)})});
  const testing::Where first = {{"k", 1}, {"id_kind", "input"}}, both = {{"k", 2}, {"id_kind", "input"}};
  const auto with = [](testing::Where where, int64_t minimum) {
    where.emplace_back("minimum_count", minimum);
    return where;
  };
  EXPECT_DOUBLE_EQ(number_in(table, with(first, 1), "mean"), (0.6 + 1.0) / 2);
  EXPECT_DOUBLE_EQ(number_in(table, with(first, 2), "mean"), 0.6);
  EXPECT_DOUBLE_EQ(number_in(table, with(first, 1), "mean_by_occurrence"), 4.0 / 6);
  EXPECT_DOUBLE_EQ(number_in(table, with(both, 2), "mean"), 0.8);
  EXPECT_EQ(cell(table, with(both, 1), "ids"), Json(2));
  EXPECT_EQ(cell(table, with(both, 1), "occurrences"), Json(6));
  // Targets: 4 four times after tokens 0 .. 3 (experts 0 0 0 1), 6 once; the last token has none.
  EXPECT_DOUBLE_EQ(number_in(table, {{"k", 1}, {"id_kind", "target"}, {"minimum_count", 2}}, "mean"), 0.75);
  EXPECT_EQ(cell(table, {{"k", 1}, {"id_kind", "target"}, {"minimum_count", 1}}, "occurrences"), Json(5));
  for (const auto& row : table.rows) EXPECT_NE(row[table.column("id_kind")], Json("predicted"));
}

TEST(VocabularySpecialization, SaysWhichRowsAreMissing) {
  const auto analysis = make_vocabulary_specialization_analysis(input_of({{3, 2, 1}}, 9, 2));
  auto batch = batch_of({0, 1}, 2, {routing_of({{0}, {}}, 2, 1)});
  analysis->observe(batch);
  ASSERT_EQ(analysis->notes().size(), 2u);
  EXPECT_NE(analysis->notes()[0].find("needs the model's predictions"), std::string::npos);
  EXPECT_NE(analysis->notes()[1].find("no chance level for layer 3"), std::string::npos);
  const auto table = table_of(analysis->tables(), "vocabulary_specialization");
  EXPECT_TRUE(cell(table, {{"id_kind", "input"}, {"minimum_count", 1}}, "chance").is_null());
  EXPECT_DOUBLE_EQ(number_in(table, {{"id_kind", "input"}, {"minimum_count", 1}}, "mean"), 0.5);  // id 1 reached nobody
}

TEST(VocabularySpecialization, PoolsDataSets) {
  const auto input = input_of({{0, 2, 1}}, 9, 2, {"a", "b"});
  auto a = batch_of({5, 5}, 2, {routing_of({{0}, {0}}, 2, 1)}), b = batch_of({5, 5}, 2, {routing_of({{1}, {0}}, 2, 1)});
  b.data = 1;
  EXPECT_DOUBLE_EQ(number_in(vocabulary_table(input, {a, b}), {{"id_kind", "input"}, {"minimum_count", 1}}, "mean"),
                   0.75);
}

TEST(VocabularySpecialization, GivesItsChanceUnderUniformRouting) {
  // Ids of 1 to about 400 occurrences. The mean over 60 ids lies within a few hundredths of its expectation: the
  // deviation of one id's share is below .5 at one occurrence and falls with the root, so 4 * .12 / sqrt(60).
  const int64_t T = 6000, E = 16;
  std::vector<int64_t> ids;
  RngStream rng(3, "test");
  for (int64_t t = 0; t < T; ++t)
    ids.push_back(std::min<int64_t>(59, static_cast<int64_t>(-12 * std::log(1 - rng.uniform()))));
  auto batch = batch_of(ids, 100, {routing_of(testing::uniform_experts(T, E, 4, 9), E, 4)});
  batch.predicted_ids = at::tensor(testing::uniform_ids(T, 40, 8)).view({-1, 100});
  const auto table = vocabulary_table(input_of({{0, E, 4}}, 60, 100), {batch});
  for (const std::string kind : {"input", "predicted", "target"})
    for (const int64_t k : {1, 4})
      for (const int64_t minimum : {1, 10}) {
        const testing::Where where = {{"k", k}, {"id_kind", kind}, {"minimum_count", minimum}};
        EXPECT_NEAR(number_in(table, where, "mean"), number_in(table, where, "chance"), minimum == 1 ? 0.06 : 0.03)
            << kind << k << minimum;
        EXPECT_GT(number_in(table, where, "chance"), static_cast<double>(k) / E);  // few occurrences favour somebody
      }
}

TEST(VocabularySpecialization, FindsAnExpertForEveryId) {
  const auto ids = testing::uniform_ids(500, 20, 2);
  Experts experts;
  for (const int64_t id : ids) experts.push_back({id % 8, (id + 3) % 8});
  const auto table = vocabulary_table(input_of({{0, 8, 2}}, 20, 50), {batch_of(ids, 50, {routing_of(experts, 8, 2)})});
  for (const int64_t k : {1, 2})
    EXPECT_DOUBLE_EQ(number_in(table, {{"k", k}, {"id_kind", "input"}, {"minimum_count", 10}}, "mean"), 1.0);
  EXPECT_LT(number_in(table, {{"k", 1}, {"id_kind", "target"}, {"minimum_count", 10}}, "mean"), 0.5);
}

TEST(VocabularySpecialization, ReproducesTheGoldenStream) {
  const auto golden = testing::golden_stream();
  const auto table = vocabulary_table(golden.input, {golden.batch});
  for (size_t layer = 0; layer < golden.layers.size(); ++layer)
    for (const auto& [kind, values] : golden.layers.at(layer).at("vocabulary").as_object())
      for (const auto& [key, need] : values.as_object()) {  // "k/minimum"
        const testing::Where where = {{"layer", static_cast<int64_t>(layer)},
                                      {"id_kind", kind},
                                      {"k", Json(int64_t{key[0] - '0'})},
                                      {"minimum_count", Json(int64_t{key[2] - '0'})}};
        testing::expect_close(number_in(table, where, "mean"), need.at("mean").as_double(), golden.rtol, golden.atol,
                              kind + key);
        testing::expect_close(number_in(table, where, "mean_by_occurrence"), need.at("by_occurrence").as_double(),
                              golden.rtol, golden.atol, kind + key);
        EXPECT_EQ(cell(table, where, "ids"), need.at("ids"));
        if (key[0] == '1')
          EXPECT_NEAR(number_in(table, where, "load_chance"), need.at("load_chance").as_double(), 0.01) << kind << key;
        else
          EXPECT_TRUE(cell(table, where, "load_chance").is_null());
      }
}

TEST(VocabularySpecialization, OwnLoadGivesTheFavouritesOfARouterThatIgnoresTheId) {
  // Expert 0 has three of four tokens, whatever the id: uniform chance is far below, that of the own load is not.
  const int64_t T = 4000;
  RngStream rng(5, "test");
  Experts experts;
  for (int64_t t = 0; t < T; ++t) experts.push_back({rng.below(4) > 0 ? 0 : 1 + static_cast<int64_t>(rng.below(7))});
  const auto table = vocabulary_table(input_of({{0, 8, 1}}, 40, 100),
                                      {batch_of(testing::uniform_ids(T, 40, 8), 100, {routing_of(experts, 8, 1)})});
  const testing::Where where = {{"id_kind", "input"}, {"minimum_count", 10}};
  EXPECT_NEAR(number_in(table, where, "mean"), number_in(table, where, "load_chance"), 0.02);  // 0.75 +- 0.007
  EXPECT_LT(number_in(table, where, "chance"), 0.3);
}

TEST(VocabularySpecialization, IntervalsHoldTheChanceOfUniformRouting) {
  const auto make = [](uint64_t seed) {
    return vocabulary_table(testing::uniform_input({}), {testing::uniform_batch({}, seed)});
  };
  for (const int64_t k : {1, 3})
    EXPECT_GE(testing::share_held(make, {{{"k", k}, {"id_kind", "input"}, {"minimum_count", 1}}, "mean", "chance"}),
              testing::kLeastHeld)
        << k;
}

}  // namespace
}  // namespace evenkeel::analysis
