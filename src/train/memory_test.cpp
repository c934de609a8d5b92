#include "train/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/layout.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

TEST(EstimateMemory, CountsParametersGradientsAndTwoMoments) {
  const auto config = testing::tiny_config("/data");
  const auto n = static_cast<double>(model::count_parameters(config.model).total);
  const auto estimate = estimate_memory(config);
  EXPECT_EQ(estimate.parameters, 4 * n);
  EXPECT_EQ(estimate.gradients, 4 * n);
  EXPECT_EQ(estimate.optimizer, 8 * n);
  EXPECT_EQ(estimate.logits, 2.0 * 4 * 32 * 16);  // 32 tokens, 16 ids, logits and their gradient
  EXPECT_EQ(estimate.total(), 16 * n + estimate.activations + estimate.logits);
  EXPECT_EQ(to_json(estimate).at("total_bytes").as_double(), estimate.total());
}

TEST(EstimateMemory, ActivationsByHand) {
  // A token: 4 H, and in each layer 4 H + 3 * 3 H of attention, then K (2 H + 2 I) + 4 E of the experts.
  const double H = 8, per_layer = 4 * H + 9 * H + 2 * (2 * H + 2 * 6) + 4 * 4;
  EXPECT_EQ(estimate_memory(testing::tiny_config("/data")).activations, 4 * 32 * (4 * H + 2 * per_layer));
}

TEST(EstimateMemory, ActivationsFollowTheMicroBatch) {
  const auto whole = estimate_memory(testing::tiny_config("/data")), half = estimate_memory(testing::tiny_config("/data", {"train.micro_batch_size=2"}));
  EXPECT_EQ(half.activations, whole.activations / 2);
  EXPECT_EQ(half.parameters, whole.parameters);
}

// A plan of the step passes 32 tokens at once, one layer at a time; micro-batches of 8 keep two layers.
TEST(EstimateMemory, KnowsThePassOverAWholeStep) {
  const double H = 8, per_layer = 4 * H + 9 * H + 2 * (2 * H + 2 * 6) + 4 * 4;
  const auto activations = [](const std::string& scope, int64_t micro_batch_size) {
    return estimate_memory(testing::tiny_config("/data", {"model.balance={loss = []}", "model.router={kind = \"sinkhorn\", scope = \"" + scope + "\"}",
                                                          "train.micro_batch_size=" + std::to_string(micro_batch_size)}))
        .activations;
  };
  EXPECT_EQ(activations("step", 1), 4 * 32 * (4 * H + per_layer));
  EXPECT_EQ(activations("micro_batch", 1), 4 * 8 * (4 * H + 2 * per_layer));
  EXPECT_EQ(activations("step", 4), activations("micro_batch", 4));  // one micro-batch: no pass
}

TEST(RequireMemory, RefusesMoreThanTheMachineHas) {
  const double machine = machine_memory_bytes();
  ASSERT_GT(machine, 1e8);
  require_memory(machine / 2, "model");
  const auto message = testing::message_of<ConfigError>([&] { require_memory(machine * 2, "model"); });
  EXPECT_THAT(message, ::testing::StartsWith("model: got a model that takes about "));
}

}  // namespace
}  // namespace evenkeel::train
