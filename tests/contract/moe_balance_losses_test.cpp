// What every balance loss of the table keeps. A new row is checked without a line here: what a loss may depend on
// follows from the scope that its row states.
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/balance_loss.h"
#include "support/decisions.h"
#include "support/gradients.h"

namespace evenkeel::moe {
namespace {

using testing::part_of;
using testing::plain_decision;
using testing::random_tensor;

constexpr int64_t kT = 24, kE = 5, kK = 2, kSequences = 6, kLength = kT / kSequences;
constexpr double kRounding = 1e-13;  // fp64, sums of 24 terms of size 1 in another order

// fp64 logits, assignments that are not the plain choice, some dropped, and the score. std 1.5 makes the loads uneven.
RoutingDecision biased_decision(uint64_t seed, Score score = Score::softmax) {
  const auto logits = random_tensor({kT, kE}, seed, 1.5);
  auto out = plain_decision(logits, kK, kSequences);
  out.expert_ids = ops::top_k_ids(logits + random_tensor({kE}, seed + 1), kK).reshape({-1});
  out.dropped = random_tensor({kT * kK}, seed + 2).lt(-0.5);
  out.score = score;
  return out;
}
std::vector<RoutingDecision> two_layers(Score score = Score::softmax) {
  return {biased_decision(11, score), biased_decision(21, score)};
}
std::vector<RoutingDecision> parts(const std::vector<RoutingDecision>& layers, int64_t first, int64_t count) {
  std::vector<RoutingDecision> out;
  for (const auto& layer : layers) out.push_back(part_of(layer, first, count, std::max<int64_t>(count / kLength, 1)));
  return out;
}
std::vector<RoutingDecision> with_logits(std::vector<RoutingDecision> layers, const std::vector<at::Tensor>& logits) {
  for (size_t i = 0; i < layers.size(); ++i) layers[i].logits = logits[i];
  return layers;
}
std::vector<at::Tensor> logits_of(const std::vector<RoutingDecision>& layers) {
  std::vector<at::Tensor> out;
  for (const auto& layer : layers) out.push_back(layer.logits);
  return out;
}

class BalanceLossContract : public ::testing::TestWithParam<BalanceLossKind> {
 protected:
  const BalanceLossKind& kind() const { return GetParam(); }
  BalanceTerm term(int64_t group_size = 0) const { return {.loss = kind().name, .group_size = group_size}; }
  at::Tensor compute(const std::vector<RoutingDecision>& layers) const { return kind().compute(layers); }
  double value(const std::vector<RoutingDecision>& layers) const { return compute(layers).item<double>(); }

  // The loss of a step cut into micro-batches of `count` tokens, as train_step adds it up: each weighted by its tokens.
  // Of step scope: the counts so far, or those of the whole step handed to every micro-batch.
  double step_value(const std::vector<RoutingDecision>& layers, int64_t count, int64_t group_size = 0,
                    bool whole_step_counts = false) const {
    StepLoad so_far;
    if (whole_step_counts) so_far = count_load(term(), layers);
    double sum = 0;
    for (int64_t first = 0; first < kT; first += count) {
      const auto micro_batch = parts(layers, first, count);
      if (!whole_step_counts) add_load(so_far, count_load(term(), micro_batch));
      sum += balance_loss(term(group_size), {micro_batch, &so_far}).item<double>() * static_cast<double>(count) / kT;
    }
    return sum;
  }
};

// ---- scope: what the value may depend on, and does depend on ----

TEST_P(BalanceLossContract, SplittingTheStepChangesItExactlyWhereItsScopeIsTheMicroBatchOrTheStepSoFar) {
  const auto layers = two_layers();
  const double whole = step_value(layers, kT);
  for (const int64_t count : {kLength, 2 * kLength, 3 * kLength}) {
    const double split = step_value(layers, count);
    if (kind().scope == Scope::sequence) {
      EXPECT_NEAR(split, whole, kRounding) << count;
    } else {  // micro_batch: other groups; step: earlier micro-batches have seen less of it
      EXPECT_GT(std::abs(split - whole), 1e-3) << count;
    }
  }
}

TEST_P(BalanceLossContract, OfAStepDoesNotDependOnTheSplitOnceTheCountsAreThoseOfTheWholeStep) {
  const auto layers = two_layers();
  const double whole = step_value(layers, kT);
  for (const int64_t count : {1L, kLength, 2 * kLength, 3 * kLength}) {
    const double split = step_value(layers, count, 0, /*whole_step_counts=*/true);
    if (kind().scope == Scope::step) {
      EXPECT_NEAR(split, whole, kRounding) << count;
    } else if (kind().scope == Scope::micro_batch) {  // takes no counts
      EXPECT_GT(std::abs(split - whole), 1e-3) << count;
    }
  }
}

TEST_P(BalanceLossContract, OfGroupsDoesNotDependOnASplitBetweenThem) {
  const auto layers = two_layers();
  if (!kind().has_groups) {  // the recipe refuses the key
    EXPECT_EQ(step_value(layers, kT, 4), step_value(layers, kT));
    return;
  }
  for (const int64_t group_size : {2, 4}) {
    const double whole = step_value(layers, kT, group_size);
    for (const int64_t count : {4, 8, 12})
      EXPECT_NEAR(step_value(layers, count, group_size), whole, kRounding) << count;
    EXPECT_GT(std::abs(whole - step_value(layers, kT)), 1e-3);
  }
}

RoutingDecision reordered(const RoutingDecision& decision, const at::Tensor& order) {
  auto out = decision;
  out.logits = decision.logits.index_select(0, order);
  out.expert_ids = decision.expert_ids.view({kT, kK}).index_select(0, order).reshape({-1});
  out.dropped = decision.dropped.view({kT, kK}).index_select(0, order).reshape({-1});
  return out;
}

TEST_P(BalanceLossContract, OrderOfTokensMattersOnlyAcrossSequences) {
  const auto layers = two_layers();
  const auto apply = [&](const at::Tensor& order) {
    return std::vector<RoutingDecision>{reordered(layers[0], order), reordered(layers[1], order)};
  };
  const auto positions = at::arange(kT, at::kLong).view({kSequences, kLength});
  const auto within = positions.flip({1}).reshape({-1}), sequences = positions.flip({0}).reshape({-1}),
             across = positions.t().reshape({-1});
  EXPECT_NEAR(value(apply(within)), value(layers), kRounding);
  EXPECT_NEAR(value(apply(sequences)), value(layers), kRounding);
  if (kind().scope == Scope::sequence) {
    EXPECT_GT(std::abs(value(apply(across)) - value(layers)), 1e-3);
  } else {
    EXPECT_NEAR(value(apply(across)), value(layers), kRounding);
  }
}

TEST_P(BalanceLossContract, SeesTheRoutersChoiceExactlyWhereItCountsIt) {
  auto other = two_layers();
  for (auto& layer : other) layer.expert_ids = (layer.expert_ids + 1) % kE;
  if (kind().counts == Counts::actual) {
    EXPECT_GT(std::abs(value(other) - value(two_layers())), 1e-3);
  } else {
    EXPECT_EQ(value(other), value(two_layers()));
  }
  for (auto& layer : other) layer.dropped = layer.dropped.logical_not();
  auto undropped = other;
  for (auto& layer : undropped) layer.dropped = at::Tensor();
  EXPECT_EQ(value(other), value(undropped));  // by its source none looks at drops
}

// ---- value ----

TEST_P(BalanceLossContract, IsItsMinimumWhenUniform) {
  for (const auto score : {Score::softmax, Score::sigmoid, Score::sqrtsoftplus})
    for (const int64_t k : {1, 2, 5}) {
      // Equal scores in every row; tokens choose the experts in turn, so that every group's load is even.
      std::vector<RoutingDecision> layers;
      for (int layer = 0; layer < 3; ++layer) {
        auto decision = plain_decision(at::zeros({2 * kE, kE}, at::kDouble), k, 2);
        for (int64_t t = 0; t < 2 * kE; ++t) {
          decision.logits[t][t % kE] += 1e-12;  // decides the plain first choice
          for (int64_t slot = 1; slot < k; ++slot) decision.logits[t][(t + slot) % kE] += 0.5e-12;
        }
        decision.expert_ids = ops::top_k_ids(decision.logits, k).reshape({-1});
        decision.score = score;
        layers.push_back(decision);
      }
      const bool whole = !kind().divides_by_k && kind().counts != Counts::first;
      const double one_layer = whole ? static_cast<double>(k) : 1.0;
      EXPECT_NEAR(value(layers), one_layer * (kind().layers == LayerReduction::sum ? 3 : 1), 1e-10)
          << k;  // logits of 1e-12
    }
}

TEST_P(BalanceLossContract, ReducesOverLayersAsItsRowSays) {
  const auto layers = two_layers();
  const double first = value({layers[0]}), second = value({layers[1]}), both = value(layers);
  if (kind().layers == LayerReduction::sum) {
    EXPECT_NEAR(both, first + second, kRounding);
  } else if (kind().layers == LayerReduction::mean) {
    EXPECT_NEAR(both, (first + second) / 2, kRounding);
  } else {
    EXPECT_GT(std::abs(both - (first + second) / 2), 1e-3);
    return;
  }
  auto changed = term();
  changed.reduce = LayerReduction::sum;
  const double sum = balance_loss(changed, {layers}).item<double>();
  changed.reduce = LayerReduction::mean;
  EXPECT_NEAR(balance_loss(changed, {layers}).item<double>() * 2, sum, kRounding);
}

TEST_P(BalanceLossContract, PaddingIsNotThere) {
  const auto layers = two_layers();
  const int64_t kept = 4 * kLength;  // the last two sequences are padding
  auto padded = layers;
  for (auto& layer : padded) {
    layer.is_padding = at::arange(kT, at::kLong).ge(kept);
    layer.logits = layer.logits.clone();
    layer.logits.narrow(0, kept, kT - kept).mul_(-7.0);
  }
  EXPECT_NEAR(value(padded), value(parts(layers, 0, kept)), kRounding);
  const auto gradient =
      testing::gradients_of([&](const auto& in) { return compute(with_logits(padded, in)); }, logits_of(padded));
  for (const auto& layer : gradient) EXPECT_EQ(layer.narrow(0, kept, kT - kept).abs().max().item<double>(), 0.0);
}

// ---- gradient ----

TEST_P(BalanceLossContract, GradientIsTheFiniteDifferenceWithCountsHeld) {
  // A step of 1e-6 does not change the order of random logits, so that the counts hold by themselves.
  for (const auto score : {Score::softmax, Score::sigmoid, Score::sqrtsoftplus})
    for (const bool has_padding : {false, true}) {
      auto layers = two_layers(score);
      if (has_padding)
        for (auto& layer : layers) layer.is_padding = at::arange(kT, at::kLong).remainder(5).eq(3);
      const auto load = count_load(term(), layers);
      testing::expect_gradients(
          [&](const auto& in) {
            return balance_loss(term(kind().has_groups ? 8 : 0), {with_logits(layers, in), &load});
          },
          logits_of(layers));
    }
}

TEST_P(BalanceLossContract, NothingFlowsThroughTheCounts) {
  // With the probabilities held, weights and assignments that ask for a gradient get none.
  auto layers = two_layers();
  for (auto& layer : layers) {
    layer.weights = random_tensor({kT * kK}, 5).requires_grad_(true);
    layer.logits = layer.logits.detach();
  }
  EXPECT_FALSE(compute(layers).requires_grad());
  EXPECT_FALSE(count_load(term(), two_layers()).at(0).assignments.requires_grad());
}

TEST_P(BalanceLossContract, PushesTheFullestExpertDown) {
  auto layer = plain_decision(random_tensor({kT, kE}, 3), kK, kSequences);
  layer.logits.select(1, 2).add_(4.0);
  layer.expert_ids = ops::top_k_ids(layer.logits, kK).reshape({-1});
  const auto gradient =
      testing::gradients_of([&](const auto& in) { return compute(with_logits({layer}, in)); }, {layer.logits})[0].sum(
          0);
  EXPECT_GT(gradient[2].item<double>(), 0.0);
  EXPECT_NEAR(gradient.sum().item<double>(), 0.0, kRounding);  // softmax: what one loses the others gain
}

// ---- edges ----

TEST_P(BalanceLossContract, IsFiniteAtLogitsOfTenThousand) {
  for (const auto score : {Score::softmax, Score::sigmoid, Score::sqrtsoftplus})
    for (const double size : {1e4, -1e4}) {
      for (const auto& signs : {random_tensor({kT, kE}, 4).sign(), random_tensor({kT, kE}, 4).sign().abs()}) {
        auto layer = plain_decision((signs * size).to(at::kFloat), kK, kSequences);
        layer.score = score;
        const auto loss = [&](const auto& in) { return compute(with_logits({layer}, in)); };
        EXPECT_TRUE(std::isfinite(loss(logits_of({layer})).template item<double>())) << size;
        EXPECT_TRUE(testing::gradients_of(loss, {layer.logits})[0].isfinite().all().item<bool>()) << size;
      }
    }
}

TEST_P(BalanceLossContract, TakesNoTokenOneTokenAndOneExpert) {
  const auto nothing = plain_decision(at::zeros({0, kE}, at::kDouble), kK);
  EXPECT_EQ(value({}), 0.0);
  EXPECT_EQ(value({nothing, nothing}), 0.0);
  EXPECT_EQ(balance_loss(term(kind().has_groups ? 4 : 0), {{nothing}}).item<double>(), 0.0);
  EXPECT_EQ(value({plain_decision(random_tensor({3, kE}, 1), kK, 1, at::zeros({3}, at::kBool).logical_not())}), 0.0);
  const auto one_token = plain_decision(random_tensor({1, kE}, 2), kK);
  EXPECT_GE(value({one_token}), 1.0);  // the experts that it chose have the larger probabilities
  const auto one_expert = plain_decision(random_tensor({kT, 1}, 2), 1, kSequences);
  EXPECT_NEAR(value({one_expert}), 1.0, 1e-15);
  EXPECT_EQ(testing::gradients_of([&](const auto& in) { return compute(with_logits({one_expert}, in)); },
                                  {one_expert.logits})[0]
                .abs()
                .max()
                .item<double>(),
            0.0);
}

TEST_P(BalanceLossContract, KeepsTheTypeOfTheLogits) {
  auto layers = two_layers();
  EXPECT_EQ(compute(layers).scalar_type(), at::kDouble);
  const double wide = value(layers);
  for (auto& layer : layers) layer.logits = layer.logits.to(at::kFloat);
  EXPECT_EQ(compute(layers).scalar_type(), at::kFloat);
  EXPECT_NEAR(value(layers), wide, 1e-5);  // fp32, a few dozen terms of size 1
}

TEST_P(BalanceLossContract, SaysWhereItComesFrom) {
  EXPECT_GT(std::string(kind().source).size(), 5u);
  EXPECT_FALSE(kind().divides_by_k && kind().counts == Counts::first);  // first choices are divided by 1
  EXPECT_NE(kind().scope, Scope::token);
}

INSTANTIATE_TEST_SUITE_P(Table, BalanceLossContract, ::testing::ValuesIn(balance_loss_kinds()),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace evenkeel::moe
