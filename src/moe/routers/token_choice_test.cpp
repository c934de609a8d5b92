#include "moe/routers/token_choice.h"

#include <cmath>
#include <limits>

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "ops/top_k.h"
#include "support/files.h"
#include "support/router_forms.h"

namespace evenkeel::moe {
namespace {

using testing::expect_close;
using ::testing::HasSubstr;
using testing::random_tensor;
using testing::same_bits;
using testing::TestedRouter;

TestedRouter tested(const std::string& kind, const std::string& keys, int64_t n_experts, int64_t top_k) {
  return TestedRouter({kind, keys}, n_experts, top_k);
}
std::string error_of(const std::string& kind, const std::string& keys, int64_t n_experts = 8, int64_t top_k = 2) {
  return testing::message_of<ConfigError>([&] { tested(kind, keys, n_experts, top_k); });
}

std::string keys_of(const Json& golden_case) {
  std::string keys = "score = " + golden_case.at("score").dump() + "\nscaling = " + golden_case.at("scaling").dump();
  if (!golden_case.at("norm_p").is_null()) {
    keys += "\nrenormalize = true";
    if (golden_case.at("norm_p").as_double() != 1 && golden_case.at("top_k").as_int() > 1)
      keys += "\nnorm_p = " + golden_case.at("norm_p").dump();
  }
  for (const char* key : {"n_groups", "groups_per_token", "group_score", "group_mask"})
    if (const Json* value = golden_case.find(key)) keys += std::string("\n") + key + " = " + value->dump();
  return keys;
}

// Every score with every norm, groups of each kind, with and without a bias, in one width.
void check_golden_cases(at::ScalarType dtype, double rtol, double atol) {
  const auto golden = testing::read_golden("token_choice.json");
  for (const auto& golden_case : golden.inputs.at("cases").as_array()) {
    const std::string name = golden_case.at("name").as_string();
    const int64_t k = golden_case.at("top_k").as_int();
    const auto leaf = testing::tensor_of(golden_case.at("logits")).to(dtype).requires_grad_(true);
    const bool has_bias = !golden_case.at("bias").is_null();
    auto router = tested(has_bias ? "loss_free" : "top_k", keys_of(golden_case), leaf.size(1), k);
    if (has_bias) router.state.at("bias").copy_(testing::tensor_of(golden_case.at("bias")));
    const auto decision = router.route(router.with_logits(leaf));
    const auto& need = golden.outputs.at(name);
    EXPECT_EQ(decision.weights.scalar_type(), dtype);
    EXPECT_TRUE(same_bits(decision.expert_ids.view({-1, k}), testing::ids_of(need.at("expert_ids")))) << name;
    expect_close(decision.weights.view({-1, k}), testing::tensor_of(need.at("weights")), rtol, atol, name);
    const auto coefficients = testing::tensor_of(golden_case.at("coefficients")).to(dtype);
    const auto gradient = torch::autograd::grad({(decision.weights.view({-1, k}) * coefficients).sum()}, {leaf})[0];
    // The share of a weight in the norm is as w^p: its rounding comes p times. The file's tolerances are those of
    // powers up to 40.
    const double powers =
        golden_case.at("norm_p").is_null() ? 1 : std::max(1.0, golden_case.at("norm_p").as_double() / 40);
    expect_close(gradient, testing::tensor_of(need.at("gradient")), rtol * powers, atol * powers, name + " gradient");
  }
}

TEST(TokenChoice, SelectionWeightsAndGradientsMatchTheGoldenFile) {
  const auto golden = testing::read_golden("token_choice.json");
  check_golden_cases(at::kFloat, golden.rtol, golden.atol);
  check_golden_cases(at::kDouble, 1e-11, 1e-13);  // 12 digits are written
}

TEST(TokenChoice, TiesOfGroupsAndExpertsGoToTheLower) {
  for (const std::string score : {"max", "top2_sum", "top_k_over_groups_sum"}) {
    const auto router = tested("top_k", "n_groups = 4\ngroups_per_token = 2\ngroup_score = \"" + score + "\"", 8, 2);
    const auto ids = router.route(router.with_logits(at::full({3, 8}, -0.5))).expert_ids.view({3, 2});
    EXPECT_TRUE(same_bits(ids, at::tensor({0, 1}).to(at::kLong).expand({3, 2}))) << score;
  }
}

// Wherever a token and an expert stand: equal logits choose the lower expert, with a bias or groups in between.
TEST(TokenChoice, EqualLogitsTieInEveryPlace) {
  for (const std::string score : {"softmax_pre", "softmax_post", "sigmoid", "sqrtsoftplus"})
    for (const auto dtype : {at::kFloat, at::kDouble})
      for (const int64_t n_experts : {2, 3, 6, 12, 31, 64})
        for (const int64_t n_tokens : {1, 5, 33, 700}) {
          const std::string groups =
              n_experts % 3 == 0 ? "\nn_groups = 3\ngroups_per_token = 2\ngroup_score = \"max\"" : "";
          const auto router = tested("loss_free", "score = \"" + score + "\"" + groups, n_experts, 2);
          for (const double logit : {-7.1, -0.3, 1e-3, 2.7, 13.3}) {
            const auto ids = router.route(router.with_logits(at::full({n_tokens, n_experts}, logit, dtype)))
                                 .expert_ids.view({n_tokens, 2});
            EXPECT_TRUE(same_bits(ids, at::tensor({0, 1}).to(at::kLong).expand({n_tokens, 2})))
                << score << " " << n_tokens << "x" << n_experts << " " << logit;
          }
        }
}

// Two groups of two; probabilities by hand: the group of the largest wins by max, the other by its sum.
TEST(TokenChoice, GroupScoresDiffer) {
  const auto logits = at::tensor({0.4, 0.1, 0.3, 0.2}).log().view({1, 4});
  const auto ids_of = [&](const std::string& keys, int64_t k) {
    const auto router = tested("top_k", "n_groups = 2\n" + keys, 4, k);
    return router.route(router.with_logits(logits)).expert_ids;
  };
  EXPECT_TRUE(same_bits(ids_of("group_score = \"max\"", 2), at::tensor({0, 1}).to(at::kLong)));
  auto close = at::tensor({0.35, 0.1, 0.3, 0.25}).log().view({1, 4});
  const auto by_sum = tested("top_k", "n_groups = 2\ngroup_score = \"top2_sum\"", 4, 2);
  EXPECT_TRUE(same_bits(by_sum.route(by_sum.with_logits(close)).expert_ids, at::tensor({2, 3}).to(at::kLong)));
  const auto by_k = tested("top_k", "n_groups = 2\ngroup_score = \"top_k_over_groups_sum\"", 4, 2);
  EXPECT_TRUE(same_bits(by_k.route(by_k.with_logits(close)).expert_ids, at::tensor({2, 3}).to(at::kLong)));
}

TEST(TokenChoice, NormsOfWeightsAreOneTimesScaling) {
  const auto logits = random_tensor({16, 8}, 1);
  for (const std::string score : {"softmax_pre", "sigmoid", "sqrtsoftplus"})
    for (const int p : {1, 2, 3}) {
      const auto router = tested(
          "top_k", "score = \"" + score + "\"\nrenormalize = true\nscaling = 2.5\nnorm_p = " + std::to_string(p), 8, 3);
      const auto weights = router.route(router.with_logits(logits)).weights.view({16, 3});
      expect_close(weights.pow(p).sum(1).pow(1.0 / p), at::full({16}, 2.5, at::kDouble), 1e-12, 0, score);
    }
}

// exp(l / 2) where softplus(l) is too small a number for its root: the weights are those of the formula as far down as
// fp32 has numbers.
TEST(TokenChoice, RootsOfSmallSoftplusKeepTheirRatio) {
  const auto router = tested("top_k", "score = \"sqrtsoftplus\"\nrenormalize = true", 4, 2);
  for (const float shift : {0.0f, -80.0f, -150.0f + 70.5f}) {
    const auto decision = router.route(router.with_logits(at::tensor({0.0f, 5.0f, -10.0f, 9.5f}).view({1, 4}) + shift));
    EXPECT_TRUE(same_bits(decision.expert_ids, at::tensor({3, 1}).to(at::kLong))) << shift;
    const double need = shift < 0 ? 1 / (1 + std::exp(-4.5 / 2))
                                  : std::sqrt(std::log1p(std::exp(9.5))) /
                                        (std::sqrt(std::log1p(std::exp(9.5))) + std::sqrt(std::log1p(std::exp(5.0))));
    EXPECT_NEAR(decision.weights[0].item<double>(), need, 1e-4) << shift;  // beside 1e-20 in the divisor
  }
}

// Every sigmoid underflows to 0: the norm is 0, its slope must not make NaN.
TEST(TokenChoice, WeightsThatVanishKeepFiniteGradients) {
  for (const std::string score : {"sigmoid", "sqrtsoftplus"})
    for (const std::string norm : {"", "\nnorm_p = 2", "\nnorm_p = 1.5"}) {
      const auto router = tested("top_k", "score = \"" + score + "\"\nrenormalize = true" + norm, 4, 2);
      const auto leaf = at::full({2, 4}, -1e4f).requires_grad_(true);
      const auto weights = router.route(router.with_logits(leaf)).weights;
      EXPECT_TRUE(ops::all_finite(weights)) << score << norm;
      EXPECT_TRUE(ops::all_finite(torch::autograd::grad({weights.sum()}, {leaf})[0])) << score << norm;
    }
}

// k equal weights w have the p-norm w k^(1/p), whatever w is: w^p is below the least fp32 number from w = 0.1 and p =
// 40 on.
TEST(TokenChoice, LargeNormsOfSmallWeightsAreExact) {
  for (const double p : {40.0, 1000.0})
    for (const double logit : {0.0, -10.0, -40.0, -88.0}) {  // sigmoids from 1/2 to 6e-39, which is a subnormal number
      const auto router =
          tested("top_k", "score = \"sigmoid\"\nrenormalize = true\nnorm_p = " + std::to_string(p), 8, 4);
      const auto leaf = at::full({2, 8}, logit, at::kFloat).requires_grad_(true);
      const auto weights = router.route(router.with_logits(leaf)).weights;
      const double w = 1 / (1 + std::exp(-logit));
      expect_close(weights, at::full({8}, w / (w * std::pow(4.0, 1 / p) + 1e-20), at::kDouble), 1e-5, 1e-15,
                   std::to_string(logit));
      EXPECT_TRUE(ops::all_finite(torch::autograd::grad({weights.sum()}, {leaf})[0])) << p << " " << logit;
    }
}

// Logits so near each other that every weight has its share of the norm. Third derivatives are of size p^2.
TEST(TokenChoice, LargeNormsHaveTheGradientOfFiniteDifferences) {
  for (const double p : {40.0, 1000.0})
    for (const std::string score : {"softmax_pre", "sigmoid", "sqrtsoftplus"}) {
      const auto router =
          tested("top_k", "score = \"" + score + "\"\nrenormalize = true\nnorm_p = " + std::to_string(p), 6, 4);
      const auto logits = at::arange(30, at::kDouble).mul(7).remainder(11).view({5, 6}) * (1 / p) +
                          at::arange(6, at::kDouble) * (0.1 / p),
                 coefficients = random_tensor({20}, 3);
      testing::expect_gradients(
          [&](const auto& in) { return (router.route(router.with_logits(in[0])).weights * coefficients).sum(); },
          {logits}, std::max(1e-7, 1e-11 * p * p));
    }
}

TEST(TokenChoice, SaysWhatItsScoresAre) {
  const std::pair<const char*, Score> kinds[] = {{"softmax_pre", Score::softmax},
                                                 {"softmax_post", Score::softmax},
                                                 {"sigmoid", Score::sigmoid},
                                                 {"sqrtsoftplus", Score::sqrtsoftplus}};
  for (const std::string kind : {"top_k", "loss_free", "quantile"})
    for (const auto& [name, score] : kinds) {
      const auto router = tested(kind, "score = \"" + std::string(name) + "\"", 4, 2);
      EXPECT_EQ(router.route(router.with_logits(random_tensor({3, 4}, 2))).score, score) << kind << " " << name;
    }
}

// ---- jitter ----

// The ratio of each element with and without jitter.
at::Tensor jitter_of(const at::Tensor& noisy, const at::Tensor& plain) { return noisy / plain - 1; }

TEST(Jitter, OfTheRouterInputChangesLogitsAndNotWhatExpertsSee) {
  const auto hidden = random_tensor({40, 6}, 3), weight = random_tensor({4, 6}, 4);
  const auto router = tested("top_k", "jitter = 0.25", 4, 2);
  const auto input = router.input(hidden, weight);
  const auto decision = router.route(input);
  EXPECT_FALSE(decision.expert_input.defined());
  EXPECT_GT((decision.logits - at::linear(hidden, weight)).abs().max().item<double>(), 0.01);
  EXPECT_TRUE(same_bits(decision.logits, router.route(input).logits)) << "another draw from the same seed";
  auto other = input;
  other.seed += 1;
  EXPECT_FALSE(same_bits(decision.logits, router.route(other).logits));
  // The same draws as on the hidden states themselves.
  const auto seen = tested("top_k", "jitter = 0.25\njitter_target = \"hidden\"", 4, 2);
  const auto both = seen.route(seen.input(hidden, weight));
  EXPECT_TRUE(same_bits(both.logits, decision.logits));
  EXPECT_TRUE(same_bits(both.logits, at::linear(both.expert_input, weight)));
}

TEST(Jitter, IsUniformWithinItsBound) {
  const auto hidden = random_tensor({300, 16}, 5), weight = random_tensor({4, 16}, 6);
  const auto router = tested("top_k", "jitter = 0.25\njitter_target = \"hidden\"", 4, 2);
  const auto noise = jitter_of(router.route(router.input(hidden, weight)).expert_input, hidden);
  EXPECT_LE(noise.abs().max().item<double>(), 0.25);
  EXPECT_GT(noise.max().item<double>(), 0.249);
  EXPECT_LT(noise.min().item<double>(), -0.249);
  EXPECT_NEAR(noise.mean().item<double>(), 0.0, 0.0105);  // five standard errors of 4,800 draws
  EXPECT_NEAR((noise * noise).mean().item<double>(), 0.25 * 0.25 / 3, 0.0014);
}

TEST(Jitter, OfLogitsIsOnTheLogitsThemselves) {
  const auto logits = random_tensor({400, 8}, 7);
  const auto router = tested("top_k", "jitter = 0.25\njitter_target = \"logits\"", 8, 2);
  const auto decision = router.route(router.with_logits(logits));
  const auto noise = jitter_of(decision.logits, logits);
  EXPECT_LE(noise.abs().max().item<double>(), 0.2500001);
  EXPECT_GT(noise.abs().max().item<double>(), 0.24);
  EXPECT_FALSE(decision.expert_input.defined());
}

TEST(Jitter, IsGaussianWithTheStandardDeviationGivenOrOneOverESquared) {
  const auto logits = random_tensor({400, 8}, 8);
  for (const auto& [keys, std] : std::vector<std::pair<std::string, double>>{{"", 1.0 / 64}, {"jitter = 0.5\n", 0.5}}) {
    const auto router = tested("top_k", keys + "jitter_target = \"logits_gaussian\"", 8, 2);
    EXPECT_EQ(router.router->options().at("jitter").as_double(), std);
    const auto noise = router.route(router.with_logits(logits)).logits - logits;
    EXPECT_NEAR(noise.pow(2).mean().sqrt().item<double>() / std, 1.0, 0.0625);  // five standard errors of 3,200 draws
    EXPECT_NEAR(noise.mean().item<double>() / std, 0.0, 0.0884);
  }
}

TEST(Jitter, IsForTrainingUnlessAskedForAndThenTheSameInEverySequence) {
  const auto hidden = random_tensor({6, 5}, 9), weight = random_tensor({4, 5}, 10);
  for (const std::string target : {"router_input", "hidden", "logits", "logits_gaussian"}) {
    const std::string keys = "jitter = 0.25\njitter_target = \"" + target + "\"";
    const auto quiet = tested("top_k", keys, 4, 2), noisy = tested("top_k", keys + "\njitter_at_eval = true", 4, 2);
    const auto plain = at::linear(hidden, weight);
    EXPECT_TRUE(same_bits(quiet.route(quiet.input(hidden, weight, Mode::eval)).logits, plain)) << target;
    const auto both = noisy.route(noisy.input(hidden.repeat({2, 1}), weight, Mode::eval, /*n_sequences=*/2));
    const auto alone = noisy.route(noisy.input(hidden, weight, Mode::eval));
    EXPECT_GT((alone.logits - plain).abs().max().item<double>(), 1e-3) << target;
    EXPECT_TRUE(same_bits(both.logits, alone.logits.repeat({2, 1}))) << target << ": depends on the batch";
    const auto train = noisy.route(noisy.input(hidden.repeat({2, 1}), weight, Mode::train, 2));
    EXPECT_FALSE(same_bits(train.logits.narrow(0, 0, 6), train.logits.narrow(0, 6, 6))) << target;
    EXPECT_EQ(noisy.traits.train_scope, Scope::micro_batch);
    EXPECT_EQ(noisy.traits.eval_scope, Scope::sequence);
    EXPECT_EQ(quiet.traits.eval_scope, Scope::token);
  }
}

TEST(Jitter, ReachesEveryTokenChoiceRouterThatHasIt) {
  for (const std::string kind : {"top_k", "loss_free", "quantile"}) {
    const auto router = tested(kind, "jitter = 0.25\njitter_target = \"hidden\"", 4, 2);
    const auto decision = router.route(
        router.input(random_tensor({5, 6}, 11).to(at::kBFloat16), random_tensor({4, 6}, 12).to(at::kBFloat16)));
    EXPECT_TRUE(decision.expert_input.defined()) << kind;
    EXPECT_EQ(decision.expert_input.scalar_type(), at::kBFloat16);
  }
}

// ---- refusals ----

TEST(TokenChoiceOptions, NameKeyValueAndNeed) {
  const std::pair<const char*, const char*> cases[] = {
      {"score = \"tanh\"",
       "recipe.toml:2:1: got model.router.score = 'tanh'; need one of: softmax_pre, softmax_post, sigmoid, "
       "sqrtsoftplus"},
      {"renormalize = true\nnorm_p = 0.5", "recipe.toml:3:1: got model.router.norm_p = 0.5; need 1..1000"},
      {"norm_p = 2", "got model.router.norm_p = 2; need renormalize = true"},
      {"score = \"softmax_post\"\nrenormalize = true\nnorm_p = 2",
       "need renormalize = true and a score other than softmax_post"},
      {"scaling = 0", "got model.router.scaling = 0; need more than 0"},
      {"n_groups = 3", "got model.router.n_groups = 3; need a divisor of model.n_experts = 8"},
      {"n_groups = 0", "got model.router.n_groups = 0; need a divisor"},
      {"n_groups = 4\ngroups_per_token = 5",
       "got model.router.groups_per_token = 5; need 1..4 (model.router.n_groups)"},
      {"groups_per_token = 2", "got model.router.groups_per_token = 2; need 1..1"},
      {"n_groups = 8",
       "got model.router.groups_per_token = 1; need groups with model.top_k = 2 experts in all; they have 1 each"},
      {"n_groups = 4\ngroups_per_token = 4\ngroup_score = \"max\"",
       "recipe.toml:3:1: got model.router.groups_per_token = 4; need fewer than model.router.n_groups = 4"},
      {"group_mask = \"zero\"", "got model.router.group_mask = 'zero'; need n_groups above 1"},
      {"n_groups = 4\ngroup_score = \"mean\"",
       "got model.router.group_score = 'mean'; need one of: max, top2_sum, top_k_over_groups_sum"},
      {"n_groups = 8\ngroups_per_token = 4\ngroup_score = \"top2_sum\"",
       "got model.router.group_score = 'top2_sum'; need 2 experts or more in a group; they have 1"},
      {"n_groups = 8\ngroups_per_token = 3\ngroup_score = \"top_k_over_groups_sum\"",
       "need a groups_per_token that divides model.top_k = 2"},
      {"jitter = -0.1", "got model.router.jitter = -0.1; need 0..1"},
      {"jitter = 1.5", "got model.router.jitter = 1.5; need 0..1"},
      {"jitter_target = \"hidden\"", "got model.router.jitter_target = 'hidden'; need a jitter above 0"},
      {"jitter = 0\njitter_target = \"logits_gaussian\"",
       "got model.router.jitter_target = 'logits_gaussian'; need a jitter above 0"},
      {"jitter_target = \"weights\"", "need one of: router_input, hidden, logits, logits_gaussian"},
      {"jitter_at_eval = true", "got model.router.jitter_at_eval = true; need a jitter above 0"},
  };
  for (const auto& [keys, need] : cases)
    for (const std::string kind : {"top_k", "loss_free"}) EXPECT_THAT(error_of(kind, keys), HasSubstr(need)) << kind;
  EXPECT_THAT(error_of("top_k", "group_score = \"top2_sum\""), HasSubstr("need n_groups above 1"));
  EXPECT_THAT(error_of("loss_free", "group_score = \"max\""), HasSubstr("need n_groups above 1"));
  EXPECT_THAT(error_of("top_k", "renormalize = true\nnorm_p = 2", 8, 1),
              HasSubstr("recipe.toml:3:1: got model.router.norm_p = 2; need renormalize = true and a score other than "
                        "softmax_post beside it, and model.top_k above 1"));
  EXPECT_THAT(error_of("quantile", "n_groups = 2"), HasSubstr("n_groups"));  // Megatron: no groups with it
}

TEST(TokenChoiceOptions, ThatCutTheRouterFromTheLossAreRefused) {
  for (const std::string kind : {"top_k", "loss_free", "quantile"}) {
    EXPECT_THAT(error_of(kind, "score = \"softmax_post\"", 4, 1),
                HasSubstr("recipe.toml:2:1: got model.router.score = 'softmax_post' with model.top_k = 1"));
    EXPECT_NO_THROW(tested(kind, "score = \"softmax_post\"", 1, 1));
    const std::string need = "need model.top_k = 1, and renormalize = true or score = softmax_post beside it";
    EXPECT_THAT(error_of(kind, "renormalize_one = true", 4, 1), HasSubstr(need));
    EXPECT_THAT(error_of(kind, "renormalize = true\nrenormalize_one = true", 4, 2), HasSubstr(need));
  }
}

// transformers' classes divide the weight of one expert by itself: 1, whatever the logits, and no gradient.
TEST(TokenChoice, DividesASingleWeightByItselfWhereItIsToldTo) {
  const auto logits = random_tensor({50, 4}, 3) * 4;
  for (const std::string kind : {"top_k", "loss_free", "quantile"})
    for (const std::string score : {"score = \"softmax_post\"", "score = \"softmax_pre\"\nrenormalize = true",
                                    "score = \"sigmoid\"\nrenormalize = true"}) {
      SCOPED_TRACE(kind + " " + score);
      const auto leaf = logits.clone().requires_grad_(true);
      auto router = tested(kind, score + "\nscaling = 2.5\nrenormalize_one = true", 4, 1);
      const auto decision = router.route(router.with_logits(leaf));
      EXPECT_TRUE(same_bits(decision.expert_ids.view({-1}), logits.argmax(1)));
      EXPECT_TRUE(same_bits(decision.weights, at::full_like(decision.weights, 2.5)));
      decision.weights.sum().backward();
      ASSERT_TRUE(leaf.grad().defined());
      EXPECT_EQ(leaf.grad().abs().max().item<double>(), 0);
    }
}

}  // namespace
}  // namespace evenkeel::moe
