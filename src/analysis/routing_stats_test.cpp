#include "analysis/routing_stats.h"

#include <cmath>

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/gradients.h"

namespace evenkeel::analysis {
namespace {

moe::RoutingDecision decision_of(const at::Tensor& expert_ids, int64_t n_experts, int64_t layer = 0) {  // [T, K]
  moe::RoutingDecision out;
  out.layer = layer;
  out.n_tokens = expert_ids.size(0);
  out.n_experts = n_experts;
  out.top_k = expert_ids.size(1);
  out.expert_ids = expert_ids.reshape({-1});
  std::vector<int64_t> tokens;
  for (int64_t n = 0; n < out.expert_ids.numel(); ++n) tokens.push_back(n / out.top_k);
  out.token_ids = at::tensor(tokens, at::kLong);
  return out;
}
at::Tensor ids(const std::vector<int64_t>& values, int64_t top_k) {
  return at::tensor(values, at::kLong).view({-1, top_k});
}

TEST(RoutingStats, MatchTheReference) {
  const auto golden = testing::read_golden("routing_stats.json");
  for (const auto& item : golden.inputs.at("cases").as_array()) {
    const auto& name = item.at("name").as_string();
    const Json& need = golden.outputs.at("statistics").at(name);
    const auto counts =
        count_routing(decision_of(testing::ids_of(item.at("expert_ids")), item.at("n_experts").as_int()));
    EXPECT_EQ(counts.tokens_per_expert, testing::integers_of(need.at("tokens_per_expert"))) << name;
    const auto stats = routing_stats(counts);
    testing::expect_close(at::tensor(stats.load, at::kDouble), testing::tensor_of(need.at("load")), golden.rtol,
                          golden.atol, name + " load");
    testing::expect_close(stats.mri, need.at("mri").as_double(), golden.rtol, golden.atol, name + " mri");
    testing::expect_close(stats.entropy, need.at("entropy").as_double(), golden.rtol, golden.atol, name + " entropy");
    testing::expect_close(stats.cv, need.at("cv").as_double(), golden.rtol, golden.atol, name + " cv");
    EXPECT_EQ(stats.dead, need.at("dead").as_int()) << name;
  }
}

// Two ways to the same counts: on the CPU by a loop, on an accelerator by tensors.
TEST(Tally, OfTensorsIsThatOfTheLoop) {
  auto decision = decision_of(testing::random_ids(24, 5, 3).view({12, 2}), 6, 4);
  for (const bool has_padding : {false, true})
    for (const bool drops : {false, true}) {
      if (has_padding) decision.is_padding = testing::random_ids(12, 2, 5).to(at::kBool);
      if (drops) decision.dropped = testing::random_ids(24, 2, 6).to(at::kBool);
      const auto tally = tally_routing(decision);
      EXPECT_TRUE(testing::same_bits(tally_by_tensors(decision), tally.counts)) << has_padding << drops;
      const auto counts = count_routing(decision);
      EXPECT_EQ(counts.layer, 4);
      EXPECT_EQ(counts.tokens_per_expert.size(), 6u);
      EXPECT_EQ(counts.n_tokens, tally.counts[6].item<int64_t>());
      EXPECT_EQ(counts.n_dropped > 0, drops);
      decision.is_padding = decision.dropped = at::Tensor();
    }
}

// Any number of experts a token: a list for each token.
moe::RoutingDecision ragged_decision(const Json& lists, int64_t n_experts) {
  moe::RoutingDecision out;
  out.n_tokens = static_cast<int64_t>(lists.size());
  out.n_experts = n_experts;
  std::vector<int64_t> tokens, experts;
  for (size_t t = 0; t < lists.size(); ++t)
    for (const int64_t expert : testing::integers_of(lists.at(t))) {
      tokens.push_back(static_cast<int64_t>(t));
      experts.push_back(expert);
    }
  out.token_ids = at::tensor(tokens, at::kLong);
  out.expert_ids = at::tensor(experts, at::kLong);
  return out;
}

TEST(Saturation, MatchesTheReference) {
  const auto golden = testing::read_golden("routing_stats.json");
  for (const auto& pair : golden.inputs.at("pairs").as_array()) {
    const auto& name = pair.at("name").as_string();
    const Json& need = golden.outputs.at("saturation").at(name);
    const int64_t E = pair.at("n_experts").as_int();
    const auto counts = count_saturation(ragged_decision(pair.at("a"), E), ragged_decision(pair.at("b"), E));
    testing::expect_close(counts.of_first(), need.at("top_1").as_double(), golden.rtol, golden.atol, name);
    testing::expect_close(counts.of_all(), need.at("top_k").as_double(), golden.rtol, golden.atol, name);
    testing::expect_close(counts.chance_of_first(), need.at("chance_1").as_double(), golden.rtol, golden.atol, name);
    testing::expect_close(counts.chance_of_all(), need.at("chance_k").as_double(), golden.rtol, golden.atol, name);
  }
}

// Two batches count like one, and padding not at all.
TEST(Saturation, AddsUpOverBatchesWithoutPadding) {
  const auto a = decision_of(ids({0, 1, 2, 3, 1, 2}, 2), 4), b = decision_of(ids({1, 0, 3, 0, 0, 3}, 2), 4);
  auto total = count_saturation(a, b);
  EXPECT_EQ(total.of_all(), 3.0 / 6);  // 2, 1 and 0 of 2
  EXPECT_EQ(total.of_first(), 0.0);
  add_counts(total, count_saturation(b, b));
  EXPECT_EQ(total.of_all(), 9.0 / 12);
  EXPECT_EQ(total.of_first(), 0.5);
  EXPECT_EQ(total.chance_of_all(), 0.5);
  auto padded = b;
  padded.is_padding = at::tensor({0, 0, 1}, at::kLong).to(at::kBool);
  EXPECT_EQ(count_saturation(a, padded).of_all(), 3.0 / 4);
}

TEST(RoutingStats, ANumberOfExpertsThatVaries) {
  auto decision =
      ragged_decision(Json(Json::Array{Json::Array{2, 0}, Json::Array{}, Json::Array{0, 1, 2}, Json::Array{}}), 3);
  const auto counts = count_routing(decision);
  EXPECT_EQ(counts.n_tokens, 4);
  EXPECT_EQ(counts.tokens_per_expert, (std::vector<int64_t>{2, 1, 2}));
  EXPECT_EQ(routing_stats(counts).mri, 0.5);
  decision.is_padding = at::tensor({0, 0, 1, 0}, at::kLong).to(at::kBool);
  EXPECT_EQ(count_routing(decision).tokens_per_expert, (std::vector<int64_t>{1, 0, 1}));
  EXPECT_EQ(count_routing(decision).n_tokens, 3);
  const auto none = count_routing(ragged_decision(Json(Json::Array{}), 3));
  EXPECT_EQ(none.n_tokens, 0);
  EXPECT_EQ(routing_stats(none).dead, 3);
}

// 3 tokens, 2 experts each of 4: 0 and 1; 0 and 2; 0 and 1.
TEST(RoutingStats, ByHand) {
  const auto stats = routing_stats(count_routing(decision_of(ids({0, 1, 0, 2, 1, 0}, 2), 4, /*layer=*/5)));
  EXPECT_EQ(stats.layer, 5);
  EXPECT_EQ(stats.mri, 1.0);  // every token goes to expert 0
  EXPECT_EQ(stats.load, (std::vector<double>{3.0 / 6, 2.0 / 6, 1.0 / 6, 0}));
  EXPECT_EQ(stats.dead, 1);
  EXPECT_NEAR(stats.entropy, (std::log(2.0) / 2 + std::log(3.0) / 3 + std::log(6.0) / 6) / std::log(4.0), 1e-14);
  EXPECT_NEAR(stats.cv, std::sqrt(5.0) / 3, 1e-14);  // counts 3 2 1 0: mean 1.5, variance 1.25
  EXPECT_EQ(stats.dropped, 0.0);
}

TEST(RoutingStats, PaddingIsNotCountedAndDropsAre) {
  auto decision = decision_of(ids({0, 1, 0, 1, 2, 3}, 2), 4);
  decision.is_padding = at::tensor({0, 0, 1}, at::kLong).to(at::kBool);
  decision.dropped = at::tensor({0, 1, 1, 0, 1, 1}, at::kLong).to(at::kBool);
  const auto counts = count_routing(decision);
  EXPECT_EQ(counts.n_tokens, 2);
  EXPECT_EQ(counts.tokens_per_expert, (std::vector<int64_t>{2, 2, 0, 0}));  // before drops
  EXPECT_EQ(counts.n_dropped, 2);
  const auto stats = routing_stats(counts);
  EXPECT_EQ(stats.dropped, 0.5);
  EXPECT_EQ(stats.mri, 1.0);
  EXPECT_EQ(stats.dead, 2);
}

TEST(RoutingStats, EmptyAndSingleExpert) {
  RoutingCounts none;
  none.n_experts = 3;
  none.tokens_per_expert = {0, 0, 0};
  const auto stats = routing_stats(none);
  EXPECT_EQ(stats.load, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(stats.mri, 0.0);
  EXPECT_EQ(stats.cv, 0.0);
  EXPECT_EQ(stats.dropped, 0.0);
  EXPECT_EQ(stats.dead, 3);
  const auto single = routing_stats(count_routing(decision_of(ids({0, 0}, 1), 1)));
  EXPECT_EQ(single.entropy, 1.0);
  EXPECT_EQ(single.mri, 1.0);
}

TEST(RoutingCounts, AddUpOverMicroBatchesLayerByLayer) {
  std::vector<RoutingCounts> total;
  const auto first = decision_of(ids({0, 1}, 1), 2, 0), second = decision_of(ids({1, 1}, 1), 2, 1);
  for (int micro_batch = 0; micro_batch < 2; ++micro_batch) add_counts(total, {first, second});
  ASSERT_EQ(total.size(), 2u);
  EXPECT_EQ(total[0].n_tokens, 4);
  EXPECT_EQ(total[0].tokens_per_expert, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(total[1].tokens_per_expert, (std::vector<int64_t>{0, 4}));
  EXPECT_THROW(add_counts(total, {second, first}), std::logic_error);  // layers must match
}

TEST(RoutingStats, JsonHasEveryFigure) {
  const Json json = to_json(routing_stats(count_routing(decision_of(ids({0, 1, 1, 1}, 1), 2, 3))));
  EXPECT_EQ(json.dump(), R"({"layer":3,"mri":0.75,"entropy":)" + json.at("entropy").dump() +
                             R"(,"cv":0.5,"dead":0,"dropped":0,"load":[0.25,0.75]})");
  EXPECT_NEAR(json.at("entropy").as_double(), 0.811278124459133, 1e-14);  // H(1/4) in bits
}

TEST(Saturation, RefusesDecisionsThatDoNotMatch) {
  const auto two = decision_of(ids({0, 1}, 1), 2), one = decision_of(ids({0}, 1), 2),
             wide = decision_of(ids({0, 1}, 1), 3);
  EXPECT_THROW(count_saturation(two, one), std::logic_error);
  EXPECT_THROW(count_saturation(two, wide), std::logic_error);
  auto total = count_saturation(two, two);
  EXPECT_THROW(add_counts(total, count_saturation(wide, wide)), std::logic_error);
  const auto none = decision_of(at::empty({0, 2}, at::kLong), 2);
  EXPECT_EQ(count_saturation(none, none).of_all(), 0.0);
  EXPECT_TRUE(count_saturation(none, none, 4).empty());
  EXPECT_EQ(count_saturation(none, none).of_first(), 0.0);
}

}  // namespace
}  // namespace evenkeel::analysis
