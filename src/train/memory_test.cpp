#include "train/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/layout.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

// H = q = kv = 8, 2 heads, I = 6, E = 4, K = 2, one balance loss; 32 tokens a step, vocabulary 16, two layers.
constexpr double kHeadFloats = 16 * 8, kTokens = 32, kExpertParameters = 3 * 4 * 8 * 6;
constexpr double kLayerParameters = 2 * 8 + 4 * 8 * 8 + 4 * 8 + kExpertParameters;  // norms, attention, router, experts
// Kept a token and layer: two streams and their norms, queries and their rotation, the projection and keys' rotation, a
// number a head; rows and halves of two assignments with their ids; scores.
constexpr double kKept = 4 * 8 + 2 * 8 + (3 * 8 + 8) + 2 + 2 * (8 + 2 * 6 + 10) + 4 * 4;
// In hand in the backward pass of the experts, the widest here.
constexpr double kBackward = 3 * 8 + 2 * (2 * 8 + 4 * 6);

MemoryEstimate estimate_of(const std::vector<std::string>& overrides) {
  return estimate_memory(testing::tiny_config("/data", overrides));
}

TEST(EstimateMemory, PartsAddUp) {
  const auto config = testing::tiny_config("/data");
  const auto n = static_cast<double>(model::count_parameters(config.model).total);
  const auto estimate = estimate_memory(config);
  EXPECT_EQ(estimate.parameters, 4 * n);
  EXPECT_EQ(estimate.optimizer, 8 * n);
  EXPECT_EQ(estimate.masks, 0);
  EXPECT_GT(estimate.program, 5e7);
  const Json json = to_json(estimate);
  EXPECT_EQ(json.at("total_bytes").as_double(), estimate.total());
  double sum = 0;
  for (const auto& [key, value] : json.as_object())
    if (key != "total_bytes" && key != "moment") sum += value.as_double();
  EXPECT_DOUBLE_EQ(sum, estimate.total());
}

// All that is kept, what the last layer's backward pass has in hand, and the gradients of the head and of that layer.
TEST(EstimateMemory, TheBackwardPassByHand) {
  const auto estimate = estimate_of({});
  EXPECT_EQ(estimate.moment, "backward pass");
  EXPECT_EQ(estimate.gradients, 4 * (kHeadFloats + kLayerParameters));
  EXPECT_EQ(estimate.activations, 4 * kTokens * (8 + 2 * kKept + kBackward));
}

// The routers' gradients are asked for with everything kept, also the final hidden states'; the experts' are made and
// not added up.
TEST(EstimateMemory, TheFirstLookByHand) {
  const auto estimate = estimate_of({"train.batch_size=64"});
  EXPECT_EQ(estimate.moment, "first look");
  EXPECT_EQ(estimate.gradients, 0);
  EXPECT_EQ(estimate.logits, 4 * kHeadFloats);
  EXPECT_EQ(estimate.activations, 4 * (16 * kTokens * (8 + 2 * kKept + 8 + kBackward) + kExpertParameters));
}

TEST(EstimateMemory, OneMaskForSeparateDocuments) {
  const auto whole = estimate_of({}), separate = estimate_of({"train.separate_documents=true"});
  EXPECT_EQ(separate.masks, 4 * 4 * 8 * 8);  // fp32, sequences, S x S
  EXPECT_EQ(separate.activations, whole.activations);
}

// Both sides are long enough in none of the tiny model's matrices; with min_factored = 6 they are in all but the
// router.
TEST(EstimateMemory, CountsTheMomentsOfTheOptimizer) {
  const auto config = testing::tiny_config("/data");
  const auto n = static_cast<double>(model::count_parameters(config.model).total);
  EXPECT_EQ(estimate_of({"optimizer={kind = \"adafactor\"}"}).optimizer, 4 * n);
  EXPECT_EQ(estimate_of({"optimizer={kind = \"adafactor\", momentum = 0.5}"}).optimizer, 8 * n);
  const double norms = 5 * 8, routers = 2 * 4 * 8, embeddings = 2 * (16 + 8);
  const double attention = 4 * (8 + 8), experts = 4 * 3 * (6 + 8);  // rows and columns
  const auto factored = estimate_of({"optimizer={kind = \"adafactor\", min_factored = 6}"});
  EXPECT_EQ(factored.optimizer, 4 * (norms + routers + embeddings + 2 * (attention + experts)));
}

// One for each sight that is shorter than a sequence, whatever the number of sequences.
TEST(EstimateMemory, OneMaskForEachWindow) {
  EXPECT_EQ(estimate_of({"model.attention={window = 3}"}).masks, 4 * 8 * 8);
  EXPECT_EQ(estimate_of({"model.attention={window = 3, window_layers = [1]}"}).masks, 4 * 8 * 8);
  EXPECT_EQ(estimate_of({"model.attention={window = 8}"}).masks, 0);
  EXPECT_EQ(estimate_of({"model.attention={window = 3, window_layers = [1]}", "train.separate_documents=true"}).masks,
            2 * 4 * 4 * 8 * 8);
}

// With more than one micro-batch all gradients are there while the next one's activations are, and the head's twice.
TEST(EstimateMemory, AccumulationKeepsTheGradientsBesideTheActivations) {
  auto dense = testing::kTinyDense;
  dense.emplace_back("train.batch_size=64");
  dense.emplace_back("train.micro_batch_size=32");
  const auto config = testing::tiny_config("/data", dense);
  const auto estimate = estimate_memory(config);
  const auto n = static_cast<double>(model::count_parameters(config.model).total);
  EXPECT_EQ(estimate.moment, "backward pass");
  EXPECT_GE(estimate.gradients, 4 * n);
  EXPECT_LT(estimate.gradients, 8 * n);
  dense.emplace_back("train.batch_size=128");
  const auto doubled = estimate_of(dense);
  EXPECT_EQ(doubled.total(), estimate.total());  // more micro-batches, not larger ones
}

// A plan of the step passes 2,048 tokens at once, one layer at a time.
TEST(EstimateMemory, KnowsThePassOverAWholeStep) {
  const auto of = [](const std::string& scope, int64_t micro_batch_size) {
    return estimate_of({"model.balance={loss = []}", "model.router={kind = \"sinkhorn\", scope = \"" + scope + "\"}",
                        "train.batch_size=256", "train.micro_batch_size=" + std::to_string(micro_batch_size)});
  };
  const auto step = of("step", 1);
  EXPECT_EQ(step.moment, "plan of the step");
  const double forward = 3 * 8 + 2 * (2 * 8 + 3 * 6) + 4 * 3, decision = 4 + 10 * 2;
  EXPECT_EQ(step.activations, 4 * 2048 * (2 * 8 + forward + 2 * decision));
  EXPECT_NE(of("micro_batch", 1).moment, "plan of the step");
  EXPECT_EQ(of("step", 256).total(), of("micro_batch", 256).total());  // one micro-batch: no pass
}

TEST(EstimateMemory, CountsTheModelThatSaturationComparesWith) {
  // With a large embedding and few tokens: its gradient comes last, when the activations have gone.
  const auto estimate = estimate_of({"model.vocab_size=20000", "train.sequence_length=2", "train.batch_size=1"});
  EXPECT_EQ(estimate.moment, "saturation");
  EXPECT_EQ(estimate.other_model, estimate.parameters);
  EXPECT_EQ(estimate.gradients, 0);
}

TEST(EstimateMemory, ActivationsFollowTheMicroBatch) {
  const auto whole = estimate_of({"train.batch_size=64"}),
             half = estimate_of({"train.batch_size=64", "train.micro_batch_size=32"});
  EXPECT_GT(whole.activations, 1.9 * half.activations);
  EXPECT_EQ(half.parameters, whole.parameters);
}

}  // namespace
}  // namespace evenkeel::train
