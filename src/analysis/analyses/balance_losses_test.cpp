#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/balance_loss.h"
#include "support/decisions.h"
#include "support/gradients.h"
#include "support/observations.h"

namespace evenkeel::analysis {

std::unique_ptr<Analysis> make_balance_losses_analysis(const AnalysisInput& input);

namespace {

using testing::batch_of;
using testing::cell;
using testing::input_of;
using testing::number_in;
using testing::table_of;

// Two layers of plain top-k decisions on B sequences of S tokens.
Observation random_batch(int64_t n_sequences, int64_t length, int64_t n_experts, int64_t top_k,
                         const at::Tensor& is_padding = {}) {
  std::vector<moe::RoutingDecision> routing;
  for (uint64_t layer = 0; layer < 2; ++layer) {
    routing.push_back(testing::plain_decision(testing::random_tensor({n_sequences * length, n_experts}, layer + 1),
                                              top_k, n_sequences,
                                              is_padding.defined() ? is_padding.view({-1}) : is_padding));
    routing.back().layer = static_cast<int64_t>(layer);
  }
  auto batch = batch_of(std::vector<int64_t>(static_cast<size_t>(n_sequences * length), 1), length, std::move(routing));
  batch.is_padding = is_padding;
  return batch;
}
Table balance_table(const AnalysisInput& input, const Observation& batch) {
  const auto analysis = make_balance_losses_analysis(input);
  analysis->observe(batch);
  EXPECT_TRUE(analysis->notes().empty());
  return table_of(analysis->tables(), "balance_losses");
}

TEST(BalanceLosses, AreThoseOfTheTrainerOnOneBatch) {
  auto is_padding = at::zeros({3, 8}, at::kBool);
  is_padding[1].narrow(0, 5, 3).fill_(true);
  for (const auto score : {moe::Score::softmax, moe::Score::sigmoid, moe::Score::sqrtsoftplus}) {
    auto batch = random_batch(3, 8, 5, 2, is_padding);
    for (auto& decision : batch.routing) decision.score = score;
    const auto table = balance_table(input_of({{0, 5, 2}, {1, 5, 2}}, 9, 8), batch);
    for (const auto& kind : moe::balance_loss_kinds()) {
      // fp64 logits on both sides; sums in another order.
      testing::expect_close(number_in(table, {{"layer", Json()}, {"loss", kind.name}}, "value"),
                            kind.compute(batch.routing).item<double>(), 1e-12, 0, kind.name);
      testing::expect_close(number_in(table, {{"layer", 1}, {"loss", kind.name}}, "value"),
                            kind.compute({batch.routing[1]}).item<double>(), 1e-12, 0, kind.name);
    }
    testing::expect_close(number_in(table, {{"layer", Json()}, {"loss", "z"}}, "value"),
                          moe::z_loss(batch.routing, false).item<double>(), 1e-12, 0, "z");
  }
}

TEST(BalanceLosses, AreTheStatedMinimumWhenUniform) {
  // Logits of zero and choices that go round: load and probabilities are uniform.
  auto batch = random_batch(2, 6, 4, 2);
  for (auto& decision : batch.routing) {
    decision.logits = at::zeros({12, 4}, at::kDouble);
    for (int64_t t = 0; t < 12; ++t)
      for (int64_t i = 0; i < 2; ++i) {
        decision.logits[t][(2 * t + i) % 4] += 1e-9 * static_cast<double>(2 - i);
        decision.expert_ids[2 * t + i] = (2 * t + i) % 4;
      }
  }
  const auto table = balance_table(input_of({{0, 4, 2}, {1, 4, 2}}, 9, 6), batch);
  for (const auto& kind : moe::balance_loss_kinds())
    for (const Json& layer : {Json(0), Json()}) {
      const testing::Where where = {{"layer", layer}, {"loss", kind.name}};
      EXPECT_NEAR(number_in(table, where, "value"), number_in(table, where, "uniform"), 1e-6)
          << kind.name;  // the guard of 1e-7, logits of 1e-9
    }
  EXPECT_DOUBLE_EQ(number_in(table, {{"layer", 0}, {"loss", "hf"}}, "uniform"), 2.0);
  EXPECT_DOUBLE_EQ(number_in(table, {{"layer", Json()}, {"loss", "switch"}}, "uniform"),
                   2.0);  // the sum over two layers
  EXPECT_DOUBLE_EQ(number_in(table, {{"layer", Json()}, {"loss", "megablocks"}}, "uniform"), 1.0);
}

TEST(BalanceLosses, TakeTheDataSetAsOneBatch) {
  const auto whole = random_batch(6, 10, 5, 2);
  const auto input = input_of({{0, 5, 2}, {1, 5, 2}}, 9, 10);
  const auto together = balance_table(input, whole);
  const auto analysis = make_balance_losses_analysis(input);
  for (int64_t first = 0; first < 6; first += 2) {
    Observation part = whole;
    part.input_ids = whole.input_ids.narrow(0, first, 2);
    for (auto& decision : part.routing) decision = testing::part_of(decision, first * 10, 20, 2);
    analysis->observe(part);
  }
  EXPECT_EQ(table_of(analysis->tables(), "balance_losses").rows, together.rows);  // to the last bit
}

TEST(BalanceLosses, NeedLogits) {
  auto batch = random_batch(2, 4, 3, 1);
  batch.routing[1].logits = at::Tensor();
  const auto analysis = make_balance_losses_analysis(input_of({{0, 3, 1}, {1, 3, 1}}, 9, 4));
  analysis->observe(batch);
  EXPECT_EQ(analysis->notes(), std::vector<std::string>{"balance_losses: layer 1 needs the router's logits"});
  const auto table = table_of(analysis->tables(), "balance_losses");
  testing::expect_close(number_in(table, {{"layer", Json()}, {"loss", "megablocks"}}, "value"),
                        moe::balance_loss({.loss = "megablocks"}, {batch.routing}).item<double>(), 1e-12, 0,
                        "mean of one of two");
  batch.routing[0].logits = at::Tensor();
  const auto none = make_balance_losses_analysis(input_of({{0, 3, 1}, {1, 3, 1}}, 9, 4));
  none->observe(batch);
  EXPECT_TRUE(none->tables().empty());
  EXPECT_EQ(none->notes().size(), 2u);
}

}  // namespace
}  // namespace evenkeel::analysis
