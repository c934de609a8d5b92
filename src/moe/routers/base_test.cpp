#include "moe/routers/base.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/sigmoid.h>
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
using testing::same_bits;

std::unique_ptr<Router> base(int64_t n_experts, const std::string& keys = "") {
  return make_router({n_experts, 1}, parse_toml("kind = \"base\"\n" + keys, "r", ""));
}
RouterInput with_logits(const at::Tensor& logits, Mode mode = Mode::train) {
  RouterInput input;
  input.hidden = logits;
  input.weight = at::eye(logits.size(1), logits.options());
  input.mode = mode;
  return input;
}
double spread_of_loads(const at::Tensor& expert_ids, int64_t n_experts) {
  const auto counts = at::bincount(expert_ids, {}, n_experts);
  return (counts.max() - counts.min()).item<double>();
}

TEST(BaseAssignment, MatchesTheReferenceTokenForToken) {
  const auto golden = testing::read_golden("base_assignment.json");
  for (const auto& item : golden.inputs.at("cases").as_array()) {
    const std::string name = item.at("name").as_string();
    const auto& need = golden.outputs.at(name);
    const auto affinities = testing::tensor_of(item.at("affinities"));
    const int64_t max_rounds = item.at("max_rounds").as_int();
    EXPECT_TRUE(same_bits(balanced_assignment(affinities, max_rounds), testing::ids_of(need.at("expert_ids")))) << name;
    const int64_t share = affinities.size(0) / affinities.size(1);
    if (share == 0) continue;
    EXPECT_EQ(auction(affinities.t().contiguous(), share, max_rounds).rounds, need.at("rounds").as_int()) << name;
  }
}

TEST(BaseAssignment, IsBalancedForEveryNumberOfTokensExpertsAndRounds) {
  for (const int64_t E : {1, 2, 3, 5, 8})
    for (const int64_t T : {0, 1, 2, 4, 7, 8, 24, 100})
      for (const int64_t max_rounds : {1, 2, 100}) {
        const auto ids =
            balanced_assignment(testing::random_tensor({T, E}, 1) + testing::random_tensor({E}, 2, 3.0), max_rounds);
        ASSERT_EQ(ids.size(0), T);
        EXPECT_LE(spread_of_loads(ids, E), 1) << T << " tokens, " << E << " experts, " << max_rounds << " rounds";
      }
}

// An auction that ends by itself is within T eps of the best sum, eps = (max - min) / 50. For any prices p the best sum
// is at most sum_t max_e (a_te - p_e) + T / E sum_e p_e: here with prices that nearly balance plain choices.
TEST(BaseAssignment, IsNearTheBest) {
  constexpr int64_t T = 512, E = 8;
  const auto affinities = testing::random_tensor({T, E}, 3) + testing::random_tensor({E}, 4);
  auto price = at::zeros({E}, at::kDouble);
  double best = 1e30;
  for (int i = 0; i < 200; ++i) {
    best = std::min(best, ((affinities - price).amax(1).sum() + price.sum() * (T / E)).item<double>());
    price =
        price + (at::bincount((affinities - price).argmax(1), {}, E) - T / E).to(at::kDouble) * (0.01 / (1 + 0.05 * i));
  }
  const auto result = auction(affinities.t().contiguous(), T / E, 100);
  EXPECT_LT(result.rounds, 100);
  const double sum = affinities.gather(1, balanced_assignment(affinities, 100).unsqueeze(1)).sum().item<double>();
  const double epsilon = (affinities.max() - affinities.min()).item<double>() / 50;
  EXPECT_LE(sum, best + 1e-9);
  EXPECT_GE(sum, best - T * epsilon);
}

TEST(BaseAssignment, DoesNotDependOnThreads) {
  const auto affinities = testing::random_tensor({300, 7}, 5) + testing::random_tensor({7}, 6, 2.0);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = balanced_assignment(affinities, 100);
  at::set_num_threads(2);
  const auto two = balanced_assignment(affinities, 100);
  at::set_num_threads(before);
  EXPECT_TRUE(same_bits(one, two));
}

// Both tokens like expert 0 best; the one that loses less goes to expert 1. At evaluation both get expert 0.
TEST(BaseRouter, BalancesInTrainingAndTakesTheLargestAtEvaluation) {
  const auto logits = at::tensor({3.0, 2.5, 2.0, 0.0}, at::kDouble).view({2, 2});
  const auto trained = base(2)->route(with_logits(logits)), evaluated = base(2)->route(with_logits(logits, Mode::eval));
  EXPECT_TRUE(same_bits(trained.expert_ids, at::tensor({1, 0}, at::kLong)));
  EXPECT_TRUE(same_bits(evaluated.expert_ids, at::tensor({0, 0}, at::kLong)));
  testing::expect_close(trained.weights, at::sigmoid(at::tensor({2.5, 2.0}, at::kDouble)), 1e-15, 0, "weights");
  EXPECT_TRUE(trained.score == Score::sigmoid);
}

// The layer of the paper, y = a f(x) + (1 - a) x with f(x) = x + ffn(x), is x + a ffn(x).
TEST(BaseRouter, TheWeightIsThatOfThePapersLayer) {
  const auto x = testing::random_tensor({5, 3}, 7), ffn = testing::random_tensor({5, 3}, 8);
  const auto a = at::sigmoid(testing::random_tensor({5, 1}, 9));
  testing::expect_close(a * (x + ffn) + (1 - a) * x, x + a * ffn, 1e-14, 1e-14, "layer");
}

TEST(BaseRouter, NothingFlowsBackThroughTheAssignment) {
  const auto hidden = testing::random_tensor({6, 4}, 10), weight = testing::random_tensor({3, 4}, 11),
             coefficients = testing::random_tensor({6}, 12);
  for (const auto mode : {Mode::train, Mode::eval})
    testing::expect_gradients(
        [&](const auto& in) {
          RouterInput input;
          input.hidden = in[0];
          input.weight = in[1];
          input.mode = mode;
          return (base(3)->route(input).weights * coefficients).sum();
        },
        {hidden, weight});
}

TEST(BaseRouter, PaddingTakesNoPart) {
  const auto logits = testing::random_tensor({11, 4}, 13);
  auto input = with_logits(logits);
  input.is_padding = at::tensor({1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1}).to(at::kBool);
  const auto ids = base(4)->route(input).expert_ids, kept = ids.index({input.is_padding.logical_not()});
  EXPECT_EQ(spread_of_loads(kept, 4), 0);  // 8 tokens
  EXPECT_TRUE(same_bits(kept, base(4)->route(with_logits(logits.index({input.is_padding.logical_not()}))).expert_ids));
  EXPECT_TRUE(same_bits(ids.index({input.is_padding}), logits.argmax(1).index({input.is_padding})));
  input.is_padding.fill_(true);
  EXPECT_TRUE(same_bits(base(4)->route(input).expert_ids, logits.argmax(1)));
}

TEST(BaseRouter, EqualAffinitiesAreSharedOutInTurnWithinABoundedNumberOfRounds) {
  const auto ids = base(4)->route(with_logits(at::full({10, 4}, 0.5))).expert_ids;
  EXPECT_LE(spread_of_loads(ids, 4), 1);
  EXPECT_EQ(ids[0].item<int64_t>(), 0);
  EXPECT_EQ(auction(at::full({64, 256}, 0.5, at::kDouble), 4, 3).rounds, 6);  // 64 turns are needed: filled up after 6
}

TEST(BaseRouter, RefusesOptionsOutsideTheirRange) {
  for (const std::string value : {"0", "100001"})
    EXPECT_THAT(testing::message_of<ConfigError>([&] { base(4, "max_rounds = " + value); }),
                HasSubstr("r:2:1: got model.router.max_rounds = " + value + "; need 1..100000"));
  EXPECT_TRUE(base(4)->traits().is_orthogonal_at_first);
  EXPECT_EQ(base(4)->traits().max_top_k, 1);
}

}  // namespace
}  // namespace evenkeel::moe
