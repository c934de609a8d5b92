#include "ops/cross_entropy.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/gradients.h"

namespace evenkeel::ops {
namespace {

using testing::expect_close;
using testing::random_ids;
using testing::random_tensor;

// [T] -log softmax(hidden W^T)[target], 0 where ignored; differentiable.
at::Tensor direct_losses(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets) {
  const auto log_probs = at::log_softmax(hidden.matmul(head.t()), 1);
  return log_probs.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1).neg().masked_fill(targets.lt(0), 0.0);
}

TEST(CrossEntropy, OfEqualLogitsIsLogV) {
  const auto loss = cross_entropy_sum(at::zeros({3, 4}), at::zeros({10, 4}), at::tensor({0, 5, 9}).to(at::kLong));
  EXPECT_NEAR(loss.item<double>(), 3 * std::log(10.0), 1e-6);  // fp32
}

TEST(CrossEntropy, MatchesLogSoftmaxAcrossChunks) {
  for (const int64_t T : {1, 511, 512, 513, 1025}) {
    const auto hidden = random_tensor({T, 6}, 1), head = random_tensor({11, 6}, 2);
    auto targets = random_ids(T, 11, 3);
    if (T > 1) targets[T / 2] = -1;
    const auto need = direct_losses(hidden, head, targets);
    // fp64: T losses of a few roundings each
    expect_close(cross_entropy_sum(hidden, head, targets), need.sum(), 1e-12, 0, "T = " + std::to_string(T));
    at::Tensor predicted;
    expect_close(cross_entropy_per_token(hidden, head, targets, &predicted), need, 1e-12, 1e-13, "per token");
    EXPECT_TRUE(testing::same_bits(predicted, hidden.matmul(head.t()).argmax(1)));
    const auto c = [&](const auto& in) { return cross_entropy_sum(in[0], in[1], targets) * 0.25; };
    const auto d = [&](const auto& in) { return direct_losses(in[0], in[1], targets).sum() * 0.25; };
    const auto got = testing::gradients_of(c, {hidden, head}), wanted = testing::gradients_of(d, {hidden, head});
    expect_close(got[0], wanted[0], 1e-12, 1e-13, "d hidden");
    expect_close(got[1], wanted[1], 1e-11, 1e-12, "d head");  // sums over T
  }
}

TEST(CrossEntropy, Fp32StaysNearFp64) {
  const auto hidden = random_tensor({700, 16}, 4), head = random_tensor({50, 16}, 5);
  const auto targets = random_ids(700, 50, 6);
  const auto loss = cross_entropy_sum(hidden.to(at::kFloat), head.to(at::kFloat), targets);
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  expect_close(loss, direct_losses(hidden, head, targets).sum(), 1e-6, 0, "sum");  // losses to 1e-6, their sum in fp64
}

TEST(CrossEntropy, GradientsMatchFiniteDifferences) {
  const auto targets = at::tensor({2, -1, 0, 4}).to(at::kLong);
  testing::expect_gradients([&](const auto& in) { return cross_entropy_sum(in[0], in[1], targets); },
                            {random_tensor({4, 3}, 7), random_tensor({5, 3}, 8)});
}

TEST(HeadLosses, ZIsTheSquaredLogSumExpOfTheTargets) {
  for (const int64_t T : {1, 511, 512, 513, 1025}) {
    const auto hidden = random_tensor({T, 6}, 1), head = random_tensor({11, 6}, 2);
    auto targets = random_ids(T, 11, 3);
    if (T > 1) targets[T / 2] = -1;
    constexpr double kCoefficient = 0.25;
    const auto direct = [&](const auto& in) {
      const auto lse = at::logsumexp(in[0].matmul(in[1].t()), {1}).masked_fill(targets.lt(0), 0.0);
      return direct_losses(in[0], in[1], targets).sum() + kCoefficient * lse.square().sum();
    };
    const auto got = head_losses(hidden, head, targets, kCoefficient);
    const auto need = direct(std::vector<at::Tensor>{hidden, head});
    expect_close(got.minimised, need, 1e-12, 0, "T = " + std::to_string(T));
    expect_close(got.cross_entropy, direct_losses(hidden, head, targets).sum(), 1e-12, 0, "cross-entropy");
    expect_close(got.cross_entropy + kCoefficient * got.z, need, 1e-12, 0, "parts");
    const auto gradients = testing::gradients_of(
        [&](const auto& in) { return head_losses(in[0], in[1], targets, kCoefficient).minimised; }, {hidden, head});
    const auto wanted = testing::gradients_of(direct, {hidden, head});
    expect_close(gradients[0], wanted[0], 1e-12, 1e-13, "d hidden");
    expect_close(gradients[1], wanted[1], 1e-11, 1e-12, "d head");  // sums over T
  }
}

TEST(HeadLosses, GradientsMatchFiniteDifferences) {
  const auto targets = at::tensor({2, -1, 0, 4}).to(at::kLong);
  testing::expect_gradients([&](const auto& in) { return head_losses(in[0], in[1], targets, 0.5).minimised; },
                            {random_tensor({4, 3}, 7), random_tensor({5, 3}, 8)});
}

TEST(HeadLosses, PartsHaveNoGradientAndNoCoefficientIsTheCrossEntropy) {
  const auto hidden = random_tensor({5, 3}, 12).to(at::kFloat).requires_grad_(true),
             head = random_tensor({7, 3}, 13).to(at::kFloat).requires_grad_(true);
  const auto targets = random_ids(5, 7, 14);
  const auto with = head_losses(hidden, head, targets, 0.5), without = head_losses(hidden, head, targets, 0);
  EXPECT_TRUE(with.minimised.requires_grad());
  EXPECT_FALSE(with.cross_entropy.requires_grad());
  EXPECT_FALSE(with.z.requires_grad());
  EXPECT_EQ(with.minimised.scalar_type(), at::kFloat);
  EXPECT_EQ(without.z.item<double>(), 0.0);
  EXPECT_TRUE(testing::same_bits(without.minimised, cross_entropy_sum(hidden, head, targets)));
  EXPECT_GT(with.minimised.item<float>(), without.minimised.item<float>());
}

// Logits of 1e4: their softmax is 0 and 1, and logsumexp 1e4.
TEST(HeadLosses, SurvivesLargeLogits) {
  const auto hidden = at::full({1, 1}, 100.0f), head = at::tensor({0.0f, 100.0f}).unsqueeze(1);
  EXPECT_EQ(head_losses(hidden, head, at::tensor({1}).to(at::kLong), 1e-4).z.item<double>(), 1e8);
  EXPECT_EQ(head_losses(hidden, head, at::tensor({-1}).to(at::kLong), 1e-4).z.item<double>(), 0.0);
}

TEST(CrossEntropy, IgnoredTargetsGiveNeitherLossNorGradient) {
  const auto hidden = random_tensor({3, 4}, 9), head = random_tensor({6, 4}, 10);
  const auto targets = at::full({3}, -1, at::kLong);
  EXPECT_EQ(cross_entropy_sum(hidden, head, targets).item<double>(), 0.0);
  for (const auto& gradient :
       testing::gradients_of([&](const auto& in) { return cross_entropy_sum(in[0], in[1], targets); }, {hidden, head}))
    EXPECT_EQ(gradient.abs().max().item<double>(), 0.0);
}

TEST(CrossEntropy, TakesNoTokens) {
  const auto hidden = at::zeros({0, 4}), targets = at::zeros({0}, at::kLong);
  const auto head = random_tensor({6, 4}, 11).to(at::kFloat);
  EXPECT_EQ(cross_entropy_sum(hidden, head, targets).item<float>(), 0.0f);
  at::Tensor predicted;
  EXPECT_EQ(cross_entropy_per_token(hidden, head, targets, &predicted).numel(), 0);
  EXPECT_EQ(predicted.numel(), 0);
  const auto gradients =
      testing::gradients_of([&](const auto& in) { return cross_entropy_sum(in[0], in[1], targets); }, {hidden, head});
  EXPECT_EQ(gradients[1].abs().max().item<float>(), 0.0f);
}

TEST(CrossEntropy, PreparesOnlyTheGradientThatIsNeeded) {
  const auto hidden = random_tensor({5, 3}, 12), head = random_tensor({7, 3}, 13);
  const auto targets = random_ids(5, 7, 14);
  const auto both =
      testing::gradients_of([&](const auto& in) { return cross_entropy_sum(in[0], in[1], targets); }, {hidden, head});
  const auto only_hidden =
      testing::gradients_of([&](const auto& in) { return cross_entropy_sum(in[0], head, targets); }, {hidden});
  const auto only_head =
      testing::gradients_of([&](const auto& in) { return cross_entropy_sum(hidden, in[0], targets); }, {head});
  EXPECT_TRUE(testing::same_bits(both[0], only_hidden[0]));
  EXPECT_TRUE(testing::same_bits(both[1], only_head[0]));
  EXPECT_FALSE(cross_entropy_sum(hidden, head, targets).requires_grad());
}

TEST(CrossEntropy, SurvivesLargeLogits) {
  // Logits 0 and 1e4: the loss of the small one is 1e4, of the large one 0.
  const auto hidden = at::full({2, 1}, 100.0f), head = at::tensor({0.0f, 100.0f}).unsqueeze(1);
  const auto losses = cross_entropy_per_token(hidden, head, at::tensor({0, 1}).to(at::kLong));
  EXPECT_EQ(losses[0].item<float>(), 1e4f);
  EXPECT_EQ(losses[1].item<float>(), 0.0f);
}

TEST(CrossEntropy, PredictionTiesGoToTheLowerId) {
  at::Tensor predicted;
  cross_entropy_per_token(at::zeros({4, 2}), at::zeros({9, 2}), at::zeros({4}, at::kLong), &predicted);
  EXPECT_EQ(predicted.max().item<int64_t>(), 0);
}

TEST(HeadLogits, AreThoseOfTheLossesChunkByChunk) {
  const int64_t T = kChunkRows + 5;
  const auto hidden = random_tensor({T, 6}, 1).to(at::kFloat), head = random_tensor({11, 6}, 2).to(at::kFloat);
  at::Tensor predicted;
  cross_entropy_per_token(hidden, head, random_ids(T, 11, 3), &predicted);
  for (int64_t first = 0; first < T; first += kChunkRows) {
    const auto logits = head_logits(hidden.narrow(0, first, std::min(kChunkRows, T - first)), head);
    EXPECT_TRUE(testing::same_bits(logits.argmax(1), predicted.narrow(0, first, logits.size(0))));
  }
  EXPECT_EQ(head_logits(hidden.to(at::kBFloat16), head.to(at::kBFloat16)).scalar_type(), at::kFloat);
  EXPECT_EQ(head_logits(hidden.to(at::kDouble), head.to(at::kDouble)).scalar_type(), at::kDouble);
}

}  // namespace
}  // namespace evenkeel::ops
