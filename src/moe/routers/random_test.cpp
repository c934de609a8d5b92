#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/router.h"
#include "support/gradients.h"

namespace evenkeel::moe {
namespace {

std::unique_ptr<Router> random_router(int64_t n_experts, int64_t top_k) {
  return make_router({n_experts, top_k}, parse_toml("kind = \"random\"", "r", ""));
}
RouterInput input_of(const at::Tensor& token_ids, uint64_t seed, int64_t n_sequences = 1, Mode mode = Mode::train) {
  RouterInput input;
  input.hidden = at::zeros({token_ids.size(0), 3});
  input.token_ids = token_ids;
  input.n_sequences = n_sequences;
  input.mode = mode;
  input.seed = seed;
  return input;
}
at::Tensor some_ids(int64_t n) { return at::arange(n, at::kLong); }

TEST(RandomRouter, MatchesTheReferenceBitForBit) {
  const auto golden = testing::read_golden("fixed_routers.json");
  for (const auto& draw : golden.outputs.at("draws").as_array()) {
    const uint64_t seed = std::stoull(draw.at("seed").as_string());
    const int64_t k = draw.at("k").as_int();
    const auto router = random_router(draw.at("E").as_int(), k);
    const auto token_ids = testing::ids_of(draw.at("token_ids"));
    for (const auto mode : {Mode::train, Mode::eval}) {
      const auto need = testing::ids_of(draw.at(mode == Mode::train ? "train" : "eval"));
      EXPECT_TRUE(testing::same_bits(router->route(input_of(token_ids, seed, 2, mode)).expert_ids.view({-1, k}), need))
          << seed;
    }
  }
}

// Each of the 12 ordered pairs of 4 experts 6000 / 12 = 500 times; the sum of the squared deviations over 500 is
// chi-squared with 11 degrees of freedom: above 31.3 once in a thousand seeds.
TEST(RandomRouter, DrawsUniformlyWithoutReplacement) {
  const auto ids = random_router(4, 2)->route(input_of(some_ids(6000), 5)).expert_ids;
  std::map<std::pair<int64_t, int64_t>, double> counts;
  for (int64_t t = 0; t < 6000; ++t) ++counts[{ids[2 * t].item<int64_t>(), ids[2 * t + 1].item<int64_t>()}];
  ASSERT_EQ(counts.size(), 12u);
  double chi_squared = 0;
  for (const auto& [pair, count] : counts) {
    EXPECT_NE(pair.first, pair.second);
    chi_squared += (count - 500) * (count - 500) / 500;
  }
  EXPECT_LT(chi_squared, 31.3);
}

TEST(RandomRouter, DependsOnTheSeedAndNotOnThreads) {
  const auto router = random_router(8, 2);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = router->route(input_of(some_ids(2000), 1)).expert_ids;
  at::set_num_threads(2);
  const auto two = router->route(input_of(some_ids(2000), 1)).expert_ids;
  at::set_num_threads(before);
  EXPECT_TRUE(testing::same_bits(one, two));
  const auto other = router->route(input_of(some_ids(2000), 2)).expert_ids;
  EXPECT_NEAR(one.eq(other).sum().item<double>() / 4000, 1.0 / 8, 0.03);  // 5 standard deviations of 4000 draws
}

TEST(RandomRouter, ASequenceIsRoutedAlikeInEveryBatchAtEvaluation) {
  const auto router = random_router(8, 2);
  const auto first = testing::random_ids(5, 50, 1), second = testing::random_ids(5, 50, 2);
  const auto both = router->route(input_of(at::cat({first, second}), 9, 2, Mode::eval)).expert_ids;
  EXPECT_TRUE(testing::same_bits(both.narrow(0, 0, 10), router->route(input_of(first, 9, 1, Mode::eval)).expert_ids));
  EXPECT_TRUE(testing::same_bits(both.narrow(0, 10, 10), router->route(input_of(second, 9, 1, Mode::eval)).expert_ids));
}

TEST(RandomRouter, TakesNoTokens) {
  for (const auto mode : {Mode::train, Mode::eval})
    EXPECT_EQ(random_router(4, 2)->route(input_of(some_ids(0), 1, 1, mode)).expert_ids.numel(), 0);
}

}  // namespace
}  // namespace evenkeel::moe
