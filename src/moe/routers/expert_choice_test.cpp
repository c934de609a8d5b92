#include <ATen/ops/arange.h>
#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/moe_layer.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::moe {
namespace {

using ::testing::HasSubstr;
using testing::same_bits;

std::unique_ptr<Router> expert_choice(const RouterShape& shape, const std::string& keys = "") {
  return make_router(shape, parse_toml("kind = \"expert_choice\"\n" + keys, "r", ""));
}
RouterInput with_logits(const at::Tensor& logits, Mode mode = Mode::train) {
  RouterInput input;
  input.hidden = logits;
  input.weight = at::eye(logits.size(1), logits.options());
  input.mode = mode;
  return input;
}
at::Tensor bools_of(const Json& json) {
  auto out = at::zeros({static_cast<int64_t>(json.size())}, at::kBool);
  for (size_t i = 0; i < json.size(); ++i) out.mutable_data_ptr<bool>()[i] = json.at(i).as_bool();
  return out;
}

void check_golden(at::ScalarType dtype, double rtol, double atol) {
  const auto golden = testing::read_golden("expert_choice.json");
  for (const auto& item : golden.inputs.at("cases").as_array()) {
    const std::string name = item.at("name").as_string();
    const auto& need = golden.outputs.at(name);
    const auto logits = testing::tensor_of(item.at("logits")).to(dtype).requires_grad_(true);
    const auto router =
        expert_choice({logits.size(1), item.at("top_k").as_int()},
                      "factor = " + item.at("factor").dump() + "\ngroup = \"" + item.at("group").as_string() + "\"");
    auto input = with_logits(logits);
    input.n_sequences = item.at("n_sequences").as_int();
    input.is_padding = bools_of(item.at("is_padding"));
    const auto decision = router->route(input);
    EXPECT_TRUE(same_bits(decision.token_ids, testing::ids_of(need.at("token_ids")))) << name;
    EXPECT_TRUE(same_bits(decision.expert_ids, testing::ids_of(need.at("expert_ids")))) << name;
    EXPECT_EQ(decision.weights.scalar_type(), dtype);
    testing::expect_close(decision.weights, testing::tensor_of(need.at("weights")), rtol, atol, name);
    const auto coefficients =
        testing::tensor_of(item.at("coefficients")).narrow(0, 0, decision.weights.numel()).to(dtype);
    const auto gradient = torch::autograd::grad({(decision.weights * coefficients).sum()}, {logits})[0];
    testing::expect_close(gradient, testing::tensor_of(need.at("gradient")), rtol, atol, name + " gradient");
  }
}

TEST(ExpertChoice, MatchesTheReference) {
  const auto golden = testing::read_golden("expert_choice.json");
  check_golden(at::kFloat, golden.rtol, golden.atol);
  check_golden(at::kDouble, 1e-11, 1e-14);  // 12 digits are written
}

TEST(ExpertChoice, EveryExpertTakesAsManyAndTokensAsTheyAreWanted) {
  const auto decision = expert_choice({8, 2})->route(with_logits(testing::random_tensor({64, 8}, 1)));
  EXPECT_TRUE(at::bincount(decision.expert_ids, {}, 8).eq(16).all().item<bool>());  // 2 * 64 / 8
  const auto per_token = at::bincount(decision.token_ids, {}, 64);
  EXPECT_EQ(per_token.sum().item<int64_t>(), 128);  // two a token on average
  EXPECT_LT(per_token.min().item<int64_t>(), 2);
  EXPECT_GT(per_token.max().item<int64_t>(), 2);
  // By token, a token's best first.
  for (int64_t n = 1; n < 128; ++n) {
    const int64_t before = decision.token_ids[n - 1].item<int64_t>(), here = decision.token_ids[n].item<int64_t>();
    EXPECT_LE(before, here);
    if (before != here) continue;
    EXPECT_GE(decision.weights[n - 1].item<double>(), decision.weights[n].item<double>());
  }
}

TEST(ExpertChoice, ALaterTokenChangesAnEarlierChoice) {
  const auto logits = testing::random_tensor({8, 4}, 2);
  auto changed = logits.clone();
  changed[7] = logits[7] + at::arange(4, at::kDouble) * 4;
  for (const auto mode : {Mode::train, Mode::eval}) {
    const auto router = expert_choice({4, 1});
    EXPECT_FALSE(mode == Mode::train ? router->traits().causal_train : router->traits().causal_eval);
    const auto before = router->route(with_logits(logits, mode)), after = router->route(with_logits(changed, mode));
    const auto earlier = [](const RoutingDecision& decision) {
      return decision.expert_ids.index({decision.token_ids.lt(7)});
    };
    EXPECT_FALSE(same_bits(earlier(before), earlier(after)));
  }
}

TEST(ExpertChoice, AtEvaluationTheGroupIsASequence) {
  const auto first = testing::random_tensor({6, 4}, 3), second = testing::random_tensor({6, 4}, 4);
  for (const std::string group : {"micro_batch", "sequence"}) {
    const auto router = expert_choice({4, 2}, "group = \"" + group + "\"");
    auto input = with_logits(at::cat({first, second}), Mode::eval);
    input.n_sequences = 2;
    const auto both = router->route(input), one = router->route(with_logits(first, Mode::eval)),
               two = router->route(with_logits(second, Mode::eval));
    EXPECT_TRUE(same_bits(both.expert_ids, at::cat({one.expert_ids, two.expert_ids})));
    EXPECT_TRUE(same_bits(both.token_ids, at::cat({one.token_ids, two.token_ids + 6})));
    input.mode = Mode::train;
    EXPECT_EQ(same_bits(router->route(input).expert_ids, both.expert_ids), group == "sequence");
  }
}

TEST(ExpertChoice, PaddingIsNeverTakenAndChangesNothing) {
  const auto logits = testing::random_tensor({10, 4}, 5);
  auto input = with_logits(logits);
  input.is_padding = at::arange(10).ge(6);
  const auto padded = expert_choice({4, 2})->route(input),
             alone = expert_choice({4, 2})->route(with_logits(logits.narrow(0, 0, 6)));
  EXPECT_TRUE(same_bits(padded.token_ids, alone.token_ids));
  EXPECT_TRUE(same_bits(padded.expert_ids, alone.expert_ids));
  input.is_padding.fill_(true);
  EXPECT_EQ(expert_choice({4, 2})->route(input).token_ids.numel(), 0);
}

TEST(ExpertChoice, ALayerTakesNoTokensAndTokensWithoutExperts) {
  ExpertWeights experts;
  experts.gate_up = testing::random_tensor({4, 10, 6}, 6);
  experts.down = testing::random_tensor({4, 6, 5}, 7);
  for (const int64_t T : {0, 1, 9}) {
    RouterInput input;
    input.hidden = testing::random_tensor({T, 6}, 8);
    input.weight = testing::random_tensor({4, 6}, 9);
    const auto result = moe_layer(*expert_choice({4, 1}), input, experts);
    ASSERT_EQ(result.out.sizes(), (at::IntArrayRef{T, 6}));
    const auto per_token = at::bincount(result.decision.token_ids, {}, T);
    for (int64_t t = 0; t < T; ++t)
      EXPECT_EQ(per_token[t].item<int64_t>() == 0, result.out[t].eq(0).all().item<bool>()) << t;
  }
}

TEST(ExpertChoice, GradientsOfALayerMatchFiniteDifferences) {
  const auto hidden = testing::random_tensor({6, 4}, 10), weight = testing::random_tensor({3, 4}, 11);
  ExpertWeights experts;
  experts.gate_up = testing::random_tensor({3, 6, 4}, 12, 0.5);
  experts.down = testing::random_tensor({3, 4, 3}, 13, 0.5);
  testing::expect_gradients(
      [&](const auto& in) {
        RouterInput input;
        input.hidden = in[0];
        input.weight = in[1];
        const auto out = moe_layer(*expert_choice({3, 1}), input, experts).out;
        return (out * out).sum();
      },
      {hidden, weight});
}

TEST(ExpertChoice, StatesItsTraits) {
  EXPECT_FALSE(expert_choice({4, 2})->traits().exactly_k);
  EXPECT_EQ(expert_choice({4, 2})->traits().mean_experts, 0);
  EXPECT_EQ(expert_choice({4, 2}, "factor = 1.25")->traits().mean_experts, 1.25);
  EXPECT_EQ(expert_choice({4, 2})->options().at("factor").as_double(), 2.0);
  EXPECT_TRUE(expert_choice({4, 2}, "group = \"sequence\"")->traits().train_scope == Scope::sequence);
}

TEST(ExpertChoice, RefusesOptionsOutsideTheirRange) {
  const auto message_for = [](const std::string& keys) {
    return testing::message_of<ConfigError>([&] { expert_choice({4, 1}, keys); });
  };
  EXPECT_THAT(message_for("factor = 0.0"),
              HasSubstr("r:2:1: got model.router.factor = 0; need more than 0 and at most model.n_experts = 4"));
  EXPECT_THAT(message_for("factor = 4.5"), HasSubstr("got model.router.factor = 4.5"));
  EXPECT_THAT(message_for("group = \"document\""), HasSubstr("need one of: micro_batch, sequence"));
}

}  // namespace
}  // namespace evenkeel::moe
