#include <gtest/gtest.h>

#include "analysis/analyses/test_support.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_expert_tokens_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::Experts;
using testing::input_of;
using testing::number_in;
using testing::routing_of;
using testing::table_of;

// Id 1: 10 times, eight of them to expert 0. Id 2: 20 times, sixteen to expert 0. Id 3: 9 times to expert 1.
std::unique_ptr<Analysis> observed(int64_t minimum_count) {
  auto input = input_of({{4, 2, 2}}, 9, 39);
  input.minimum_count = minimum_count;
  input.token_texts = {"zero", "one", "<two>"};
  auto analysis = make_expert_tokens_analysis(input);
  std::vector<int64_t> ids;
  Experts experts;
  const auto add = [&](int64_t id, int64_t n, int64_t expert) {
    for (int64_t i = 0; i < n; ++i) {
      ids.push_back(id);
      experts.push_back({expert, 1 - expert});
    }
  };
  add(1, 8, 0);
  add(1, 2, 1);
  add(2, 16, 0);
  add(2, 4, 1);
  add(3, 9, 1);
  analysis->observe(batch_of(ids, 39, {routing_of(experts, 2, 2, 4)}));
  return analysis;
}

TEST(ExpertTokens, ListsIdsByShareThenCountByHand) {
  const auto table = table_of(observed(0)->tables(), "expert_tokens");
  const testing::Where top = {{"expert", 0}, {"rank", 0}}, second = {{"expert", 0}, {"rank", 1}};
  EXPECT_EQ(cell(table, top, "id"), Json(2));  // the same share as id 1, and more tokens
  EXPECT_EQ(cell(table, top, "count"), Json(16));
  EXPECT_EQ(cell(table, top, "occurrences"), Json(20));
  EXPECT_DOUBLE_EQ(number_in(table, top, "share"), 0.8);
  EXPECT_EQ(cell(table, top, "text"), Json("<two>"));
  EXPECT_EQ(cell(table, second, "id"), Json(1));
  EXPECT_EQ(cell(table, second, "text"), Json("one"));
  EXPECT_EQ(cell(table, top, "layer"), Json(4));
  EXPECT_EQ(cell(table, top, "minimum_count"), Json(10));
  for (const auto& row : table.rows) EXPECT_NE(row[table.column("id")], Json(3));  // nine occurrences
  EXPECT_FALSE(table.chance);                                                      // rows differ
  // Chance of 20 occurrences and two experts: 1/2 and half the mean distance of 20 coins from 10, which is 10 C(20, 10)
  // / 2^20.
  EXPECT_NEAR(number_in(table, top, "chance"), 0.5 + 0.5 * 184756 / 1048576, 1e-12);
}

TEST(ExpertTokens, TellsTheFavouriteFromOthersInTheList) {
  // Expert 1 is nobody's favourite, and still lists ids 1 and 2, a fifth of which go there.
  const auto table = table_of(observed(0)->tables(), "expert_tokens");
  EXPECT_EQ(cell(table, {{"expert", 0}, {"id", 1}}, "favourite"), Json(1));
  EXPECT_EQ(cell(table, {{"expert", 1}, {"id", 1}}, "favourite"), Json(0));
  EXPECT_DOUBLE_EQ(number_in(table, {{"expert", 1}, {"id", 1}}, "share"), 0.2);
  const auto by_expert = table_of(observed(0)->tables(), "expert_vocabulary");
  for (const auto& row : by_expert.rows)
    EXPECT_TRUE(row[by_expert.column("expert")] != Json(1) || row[by_expert.column("id_kind")] != Json("input"));
}

TEST(ExpertTokens, TakesTheGivenMinimum) {
  const auto table = table_of(observed(9)->tables(), "expert_tokens");
  EXPECT_EQ(cell(table, {{"expert", 1}, {"rank", 0}}, "id"), Json(3));
  EXPECT_DOUBLE_EQ(number_in(table, {{"expert", 1}, {"rank", 0}}, "share"), 1.0);
  EXPECT_TRUE(cell(table, {{"expert", 1}, {"rank", 0}}, "text").is_null());  // no text for id 3
}

TEST(ExpertTokens, AveragesTheIdsOfAnExpert) {
  const auto table = table_of(observed(9)->tables(), "expert_vocabulary");
  EXPECT_EQ(cell(table, {{"expert", 0}, {"id_kind", "input"}}, "ids"), Json(2));
  EXPECT_DOUBLE_EQ(number_in(table, {{"expert", 0}, {"id_kind", "input"}}, "mean"), 0.8);
  EXPECT_DOUBLE_EQ(number_in(table, {{"expert", 1}, {"id_kind", "input"}}, "mean"), 1.0);
}

TEST(ExpertTokens, GivesItsChanceUnderUniformRouting) {
  // 600 ids of about 20 occurrences. The deviation of one largest share is below .1; four standard errors of their
  // mean.
  const int64_t T = 12'000, E = 8;
  const auto analysis = make_expert_tokens_analysis(input_of({{0, E, 2}}, 600, 100));
  analysis->observe(
      batch_of(testing::uniform_ids(T, 600, 3), 100, {routing_of(testing::uniform_experts(T, E, 2, 4), E, 2)}));
  const auto table = table_of(analysis->tables(), "expert_vocabulary");
  double mean = 0, chance = 0, ids = 0;
  for (const auto& row : table.rows) {
    if (row[table.column("id_kind")] != Json("input")) continue;
    const double n = row[table.column("ids")].as_double();
    mean += n * row[table.column("mean")].as_double();
    chance += n * row[table.column("chance")].as_double();
    ids += n;
  }
  EXPECT_GT(ids, 590);
  EXPECT_NEAR(mean / ids, chance / ids, 4 * 0.1 / std::sqrt(ids));
  EXPECT_GT(chance / ids, 0.2);  // far above 1 / E
}

TEST(ExpertTokens, HasNoChanceWhereTokensHaveNoExpert) {
  auto input = input_of({{3, 2, 1}}, 9, 2);
  input.minimum_count = 1;
  const auto analysis = make_expert_tokens_analysis(input);
  analysis->observe(batch_of({1, 1}, 2, {routing_of({{0}, {}}, 2, 1, 3)}));
  EXPECT_TRUE(cell(table_of(analysis->tables(), "expert_tokens"), {{"expert", 0}}, "chance").is_null());
  EXPECT_TRUE(cell(table_of(analysis->tables(), "expert_vocabulary"), {{"id_kind", "input"}}, "chance").is_null());
  ASSERT_EQ(analysis->notes().size(), 1u);
  EXPECT_NE(analysis->notes()[0].find("no chance level for layer 3"), std::string::npos);
}

TEST(ExpertTokens, TheLongListIsForCsvAndHasEveryKindOfId) {
  bool is_there = false;
  for (const auto& [name, table, csv_only] : observed(0)->tables()) {
    EXPECT_EQ(csv_only, name == "expert_tokens_all");
    if (name != "expert_tokens_all") continue;
    is_there = true;
    EXPECT_EQ(cell(table, {{"expert", 0}, {"id_kind", "target"}, {"rank", 0}}, "id"),
              Json(2));  // 16 of 20: the token before the first is id 1's last
  }
  EXPECT_TRUE(is_there);
}

TEST(ExpertTokens, KeepsTheTenBest) {
  auto input = input_of({{0, 1, 1}}, 40, 300);
  std::vector<int64_t> ids;
  for (int64_t id = 0; id < 20; ++id)
    for (int64_t n = 0; n < 15; ++n) ids.push_back(id);
  const auto analysis = make_expert_tokens_analysis(input);
  analysis->observe(batch_of(ids, 300, {routing_of(Experts(300, {0}), 1, 1)}));
  const auto table = table_of(analysis->tables(), "expert_tokens");
  ASSERT_EQ(table.rows.size(), 10u);
  for (int64_t rank = 0; rank < 10; ++rank)
    EXPECT_EQ(cell(table, {{"rank", rank}}, "id"), Json(rank));  // equals: the lower id
}

TEST(ExpertTokens, IntervalsOfAnExpertHoldTheChanceOfUniformRouting) {
  const testing::UniformShape shape{.n_windows = 30,
                                    .vocab_size = 80};  // some ten ids an expert, fifteen occurrences each
  const auto make = [&](uint64_t seed) {
    const auto analysis = make_expert_tokens_analysis(testing::uniform_input(shape));
    analysis->observe(testing::uniform_batch(shape, seed));
    return table_of(analysis->tables(), "expert_vocabulary");
  };
  EXPECT_GE(testing::share_held(make, {{{"expert", 3}, {"id_kind", "input"}}, "mean", "chance"}),
            testing::kLeastHeld);  // one in the middle: ties, which have smaller shares, go to the lower one
}

}  // namespace
}  // namespace evenkeel::analysis
