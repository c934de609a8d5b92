#include "analysis/id_tally.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"
#include "support/observations.h"

namespace evenkeel::analysis {
namespace {

using testing::batch_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::input_of;
using testing::message_of;
using testing::routing_of;

std::vector<int64_t> counts_of(const IdTally& tally, int64_t id, size_t n_experts, size_t layer = 0) {
  std::vector<int64_t> counts(n_experts, 0);
  tally.add_counts(layer, id, counts);
  return counts;
}

// Two sequences of three tokens, three experts, two a token.
Observation small_batch() {
  auto batch = batch_of({7, 7, 2, 7, 2, 5}, 3, {routing_of({{0, 1}, {2, 1}, {0, 2}, {0, 2}, {1, 0}, {1, 2}}, 3, 2)});
  batch.predicted_ids = at::tensor(std::vector<int64_t>{1, 1, 1, 4, 4, 4}).view({2, 3});
  batch.is_padding = at::tensor(std::vector<int64_t>{0, 0, 0, 0, 0, 1}).view({2, 3}).to(at::kBool);
  return batch;
}

TEST(IdTally, CountsByHandForEveryKindOfId) {
  const auto input = input_of({{0, 3, 2}}, 8, 3);
  TallyReader reader(input);
  const auto& all = reader.want(input, {IdKind::input, Choices::all});
  const auto& first = reader.want(input, {IdKind::input, Choices::first});
  const auto& target = reader.want(input, {IdKind::target, Choices::first});
  const auto& predicted = reader.want(input, {IdKind::predicted, Choices::all});
  const auto& position = reader.want(input, {IdKind::position, Choices::all});
  reader.observe(small_batch());
  EXPECT_THAT(counts_of(all, 7, 3), ElementsAre(2, 2, 2));
  EXPECT_THAT(counts_of(first, 7, 3), ElementsAre(2, 0, 1));
  EXPECT_THAT(counts_of(first, 2, 3), ElementsAre(1, 1, 0));
  EXPECT_THAT(counts_of(first, 5, 3), ElementsAre(0, 0, 0));  // padding
  EXPECT_EQ(all.occurrences(7), 3);
  EXPECT_EQ(all.occurrences(5), 0);
  EXPECT_EQ(all.occurrences(1000), 0);
  EXPECT_EQ(all.n_tokens(), 5);
  EXPECT_EQ(all.most_occurrences(), 3);
  EXPECT_THAT(counts_of(target, 7, 3), ElementsAre(2, 0, 0));  // tokens 0 and 2 are followed by 7
  EXPECT_EQ(target.n_tokens(), 5);
  EXPECT_THAT(counts_of(predicted, 4, 3), ElementsAre(2, 1, 1));
  EXPECT_THAT(counts_of(position, 0, 3), ElementsAre(2, 1, 1));  // tokens 0 and 3
  EXPECT_EQ(position.occurrences(2), 1);                         // token 5 is padding
  EXPECT_TRUE(all.exactly_k(0) && first.exactly_k(0));
}

TEST(IdTally, NoticesRoutersThatDoNotGiveExactlyK) {
  const auto input = input_of({{0, 3, 2}}, 8, 3);
  TallyReader reader(input);
  const auto& all = reader.want(input, {IdKind::input, Choices::all});
  const auto& first = reader.want(input, {IdKind::input, Choices::first});
  reader.observe(batch_of({1, 1, 1}, 3, {routing_of({{0}, {0, 1, 2}, {2, 1}}, 3, 2)}));
  EXPECT_FALSE(all.exactly_k(0));
  EXPECT_TRUE(first.exactly_k(0));
  EXPECT_EQ(all.occurrences(1), 3);
  EXPECT_THAT(counts_of(all, 1, 3), ElementsAre(2, 2, 2));
  reader.observe(batch_of({1, 1, 1}, 3, {routing_of({{}, {0, 1}, {2, 1}}, 3, 2)}));
  EXPECT_FALSE(first.exactly_k(0));
  EXPECT_EQ(first.occurrences(1), 6);  // the token without an expert occurred too
}

TEST(IdTally, KeepsDataSetsAndSidesApart) {
  const auto input = input_of({{0, 3, 1}}, 8, 2, {"a", "b"});
  TallyReader reader(input);
  const auto& of_a = reader.want(input, {IdKind::input, Choices::all, Side::model, 0});
  const auto& of_b = reader.want(input, {IdKind::input, Choices::all, Side::model, 1});
  const auto& both = reader.want(input, {IdKind::input, Choices::all});
  const auto& reference = reader.want(input, {IdKind::input, Choices::all, Side::reference, 0});
  auto batch = batch_of({4, 4}, 2, {routing_of({{0}, {1}}, 3, 1)});
  batch.reference = {routing_of({{2}, {2}}, 3, 1)};
  reader.observe(batch);
  batch.data = 1;
  reader.observe(batch);
  EXPECT_THAT(counts_of(of_a, 4, 3), ElementsAre(1, 1, 0));
  EXPECT_THAT(counts_of(of_b, 4, 3), ElementsAre(1, 1, 0));
  EXPECT_THAT(counts_of(both, 4, 3), ElementsAre(2, 2, 0));
  EXPECT_THAT(counts_of(reference, 4, 3), ElementsAre(0, 0, 2));
}

TEST(IdTallies, CountABatchOnceHoweverManyReadIt) {
  auto input = input_of({{0, 3, 1}}, 8, 2);
  input.tallies = std::make_shared<IdTallies>();
  TallyReader one(input), two(input);
  const auto& tally = one.want(input, {});
  EXPECT_EQ(&two.want(input, {}), &tally);
  const auto batch = batch_of({4, 4}, 2, {routing_of({{0}, {1}}, 3, 1)});
  for (int i = 0; i < 2; ++i) {
    one.observe(batch);
    two.observe(batch);
  }
  EXPECT_EQ(tally.n_tokens(), 4);
  EXPECT_THAT(counts_of(tally, 4, 3), ElementsAre(2, 2, 0));
  EXPECT_THROW(one.want(input, {IdKind::target}), std::logic_error);  // too late: it would miss the first batches
  TallyReader behind(input);
  one.observe(batch);
  behind.observe(batch);
  EXPECT_EQ(tally.n_tokens(), 6);
}

TEST(IdTallies, WithoutASharedOneEachReaderCountsForItself) {
  const auto input = input_of({{0, 3, 1}}, 8, 2);
  TallyReader one(input), two(input);
  EXPECT_NE(&one.want(input, {}), &two.want(input, {}));
}

TEST(IdTally, RefusesIdsOutsideTheVocabularyAndForeignShapes) {
  const auto input = input_of({{0, 3, 1}}, 4, 2);
  const auto observe = [&](const Observation& batch) {
    TallyReader reader(input);
    reader.want(input, {});
    return message_of<DataError>([&] { reader.observe(batch); });
  };
  EXPECT_THAT(observe(batch_of({4, 1}, 2, {routing_of({{0}, {1}}, 3, 1)})), HasSubstr("input ids: got 4; need 0..3"));
  EXPECT_THAT(observe(batch_of({3, 1}, 2, {})), HasSubstr("routing: got 0 MoE layers; need 1"));
  EXPECT_THAT(observe(batch_of({3, 1}, 2, {routing_of({{0}, {1}}, 4, 1)})),
              HasSubstr("got 2 tokens and 4 experts; need 2 and 3"));
  // Where the input states no vocabulary it grows, within bounds.
  const auto unknown = input_of({{0, 3, 1}}, 0, 2);
  TallyReader reader(unknown);
  const auto& tally = reader.want(unknown, {});
  reader.observe(batch_of({100'000, 1}, 2, {routing_of({{0}, {1}}, 3, 1)}));
  EXPECT_EQ(tally.occurrences(100'000), 1);
  EXPECT_THAT(message_of<DataError>([&] {
                reader.observe(batch_of({int64_t{1} << 40, 1}, 2, {routing_of({{0}, {1}}, 3, 1)}));
              }),
              HasSubstr("input ids: got 1099511627776"));
}

TEST(IdTally, TakesNoMoreBytesThanItSays) {
  const int64_t T = 8000, V = 500;
  auto input = input_of({{0, 16, 2}, {1, 16, 2}}, V, 100);
  input.data[0].n_tokens = T;
  for (const auto& [kind, n_ids] : {std::pair{IdKind::input, V}, {IdKind::position, int64_t{100}}}) {
    TallyReader reader(input);
    const auto& tally = reader.want(input, {kind, Choices::all, Side::model, 0});
    const auto experts = testing::uniform_experts(T, 16, 2, 1);
    reader.observe(
        batch_of(testing::uniform_ids(T, V, 1), 100, {routing_of(experts, 16, 2), routing_of(experts, 16, 2, 1)}));
    const double predicted = IdTally::bytes(input, tally.key());
    EXPECT_LE(tally.allocated_bytes(), predicted);
    EXPECT_GE(tally.allocated_bytes(), 2.0 * static_cast<double>(n_ids) * 16 * 4);  // every id occurs in both layers
    EXPECT_LE(predicted, static_cast<double>(n_ids) * (2 * 16 * 4 + 56) + 1024 +
                             2 * 65'536);  // rows, 56 for an id's place, a block begun a layer
  }
}

TEST(IdTally, TakesBytesForTheIdsThatOccurNotForTheLargest) {
  auto input = input_of({{0, 4, 1}}, int64_t{1} << 24, 1000);
  TallyReader reader(input);
  const auto& tally = reader.want(input, {});
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 1000; ++i) ids.push_back((int64_t{1} << 24) - 1 - 7919 * i);
  reader.observe(batch_of(ids, 1000, {routing_of(testing::uniform_experts(1000, 4, 1, 1), 4, 1)}));
  EXPECT_LE(tally.allocated_bytes(), 2e5);  // a thousand rows and places, and the blocks that they begin
  EXPECT_LE(IdTally::bytes(input, {}), 2e5);
  std::reverse(ids.begin(), ids.end());
  EXPECT_EQ(tally.ids(), ids);  // ascending
  EXPECT_EQ(tally.occurrences(ids[0]), 1);
  EXPECT_EQ(tally.occurrences(ids[0] + 1), 0);
}

TEST(IdTally, BytesOfSharedTalliesAreStatedOnce) {
  auto input = input_of({{0, 16, 2}}, 500, 100);
  const std::vector<TallyKey> keys = {{IdKind::input, Choices::all}, {IdKind::target, Choices::all}};
  const double alone = tally_bytes(input, keys);
  EXPECT_EQ(tally_bytes(input, keys), alone);  // nothing shared
  input.tallies = std::make_shared<IdTallies>();
  EXPECT_EQ(tally_bytes(input, keys), alone);
  EXPECT_EQ(tally_bytes(input, {keys[1]}), 0.0);
  EXPECT_GT(tally_bytes(input, {{IdKind::predicted, Choices::all}}), 0.0);
}

TEST(IdTally, BytesGrowWithWhatCanOccur) {
  auto input = input_of(std::vector<LayerShape>(8, LayerShape{0, 64, 8}), 50'000, 2048);
  input.data[0].n_tokens = 10'000'000;
  const double full = IdTally::bytes(input, {});
  EXPECT_NEAR(full, 8 * 50'000.0 * 64 * 4, 0.05 * full);  // the rows, and up to 5 % of places
  input.data[0].n_tokens = 1000;                          // at most as many ids as tokens
  EXPECT_LT(IdTally::bytes(input, {}), full / 10);
  EXPECT_LT(IdTally::bytes(input, {IdKind::position}), full / 10);
}

}  // namespace
}  // namespace evenkeel::analysis
