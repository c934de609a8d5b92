#include <ATen/ops/bincount.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/router.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::moe {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Router> hash_router(const std::string& by, int64_t n_experts, int64_t vocab_size) {
  return make_router({n_experts, 1, vocab_size}, parse_toml("kind = \"hash\"\nby = \"" + by + "\"", "r", ""));
}
at::Tensor table_of(const Router& router, const StateInput& input) { return router.initial_state(input).at("table"); }

TEST(HashRouter, TablesMatchTheReferenceBitForBit) {
  const auto golden = testing::read_golden("fixed_routers.json");
  for (const auto& item : golden.outputs.at("tables").as_array()) {
    const auto router = hash_router(item.at("by").as_string(), item.at("E").as_int(), item.at("V").as_int());
    StateInput input{item.at("layer").as_int(), static_cast<uint64_t>(item.at("seed").as_int()), {}};
    if (const Json* counts = item.find("counts")) input.token_counts = testing::ids_of(*counts);
    EXPECT_TRUE(testing::same_bits(table_of(*router, input), testing::ids_of(item.at("table")))) << item.dump();
  }
}

TEST(HashRouter, TablesAreBalancedOverIdsAndDifferByLayerAndSeed) {
  const auto router = hash_router("ids", 7, 100);
  const auto table = table_of(*router, {0, 1, {}});
  const auto counts = at::bincount(table, {}, 7);
  EXPECT_EQ(counts.max().item<int64_t>() - counts.min().item<int64_t>(), 1);  // 100 = 7 * 14 + 2
  EXPECT_FALSE(testing::same_bits(table, table_of(*router, {1, 1, {}})));
  EXPECT_FALSE(testing::same_bits(table, table_of(*router, {0, 2, {}})));
  EXPECT_TRUE(testing::same_bits(table, table_of(*hash_router("ids", 7, 100), {0, 1, {}})));
}

// Weights 11, 6, 4, 4, 2, 1, 1 (occurrences + 1) on two experts: 11 | 6 4 | the other 4 to the second (10 < 11): 14,
// then 2 and 1 and 1 to the first: 15 | 14.
TEST(HashRouter, ByFrequencyTheLoadIsBalancedByHand) {
  const auto counts = at::tensor({10, 5, 3, 3, 1, 0, 0}, at::kLong);
  const auto table = table_of(*hash_router("frequency", 2, 7), {0, 1, counts});
  EXPECT_EQ(table[0].item<int64_t>(), 0);
  for (const int64_t id : {1, 2, 3}) EXPECT_EQ(table[id].item<int64_t>(), 1) << id;
  for (const int64_t id : {4, 5, 6}) EXPECT_EQ(table[id].item<int64_t>(), 0) << id;
}

TEST(HashRouter, WithoutCountsFrequencyBalancesIds) {
  const auto counts = at::bincount(table_of(*hash_router("frequency", 7, 100), {3, 1, {}}), {}, 7);
  EXPECT_LE(counts.max().item<int64_t>() - counts.min().item<int64_t>(), 1);
  EXPECT_THROW(hash_router("frequency", 7, 100)->initial_state({0, 1, at::zeros({99}, at::kLong)}), std::logic_error);
}

TEST(HashRouter, LooksUpTheTokenAndNothingElse) {
  const auto router = hash_router("ids", 4, 6);
  ops::Params state;
  state.add("table", at::tensor({3, 1, 0, 2, 2, 1}, at::kLong));
  RouterInput input;
  input.hidden = testing::random_tensor({5, 3}, 1);
  input.token_ids = at::tensor({5, 0, 0, 4, 2}, at::kLong);
  input.state = &state;
  for (const auto mode : {Mode::train, Mode::eval}) {
    input.mode = mode;
    const auto decision = router->route(input);
    EXPECT_TRUE(testing::same_bits(decision.expert_ids, at::tensor({1, 3, 3, 2, 0}, at::kLong)));
    EXPECT_TRUE(decision.weights.eq(1).all().item<bool>());
    EXPECT_FALSE(decision.logits.defined());
    EXPECT_EQ(decision.top_k, 1);
  }
  input.hidden = testing::random_tensor({0, 3}, 1);
  input.token_ids = at::zeros({0}, at::kLong);
  EXPECT_EQ(router->route(input).expert_ids.numel(), 0);
}

TEST(HashRouter, StatesWhatItNeedsAndRefusesOtherTables) {
  EXPECT_FALSE(hash_router("ids", 4, 6)->traits().needs_token_counts);
  EXPECT_TRUE(hash_router("frequency", 4, 6)->traits().needs_token_counts);
  EXPECT_EQ(hash_router("ids", 4, 6)->traits().max_top_k, 1);
  EXPECT_THAT(testing::message_of<ConfigError>([] { hash_router("clusters", 4, 6); }),
              HasSubstr("r:2:1: got model.router.by = 'clusters'; need one of: ids, frequency"));
}

}  // namespace
}  // namespace evenkeel::moe
