// What every registered router keeps, in all its published forms. A new router adds its forms to `forms()`.
#include <limits>

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/balance_loss.h"
#include "moe/router.h"
#include "ops/top_k.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::moe {
namespace {

using ::testing::HasSubstr;
using testing::random_tensor;
using testing::same_bits;

struct Form {
  std::string toml;
  int64_t smallest_k = 1;  // of forms that refuse k = 1
};
std::map<std::string, std::vector<Form>> forms() {
  std::map<std::string, std::vector<Form>> out;
  for (const std::string renormalize : {"false", "true"}) {
    for (const std::string score : {"softmax_pre", "softmax_post", "sigmoid", "sqrtsoftplus"})
      out["top_k"].push_back({"score = \"" + score + "\"\nrenormalize = " + renormalize, score == "softmax_post" ? 2 : 1});
    for (const std::string variant : {"log", "megatron", "neox"})
      out["sinkhorn"].push_back({"variant = \"" + variant + "\"\nrenormalize = " + renormalize});
  }
  return out;
}

class RouterContract : public ::testing::TestWithParam<std::pair<std::string, Form>> {
 protected:
  std::unique_ptr<Router> make(int64_t n_experts, int64_t top_k) const {
    return make_router({n_experts, top_k}, parse_toml("kind = \"" + GetParam().first + "\"\n" + GetParam().second.toml, "r", ""));
  }
  // All k of a model with E experts that the form takes.
  std::vector<int64_t> choices(int64_t n_experts) const {
    std::vector<int64_t> out;
    for (int64_t k = GetParam().second.smallest_k; k <= n_experts; ++k) out.push_back(k);
    return out;
  }
};

RouterInput input_of(const at::Tensor& hidden, const at::Tensor& weight, Mode mode = Mode::train) {
  RouterInput input;
  input.hidden = hidden;
  input.weight = weight;
  input.token_ids = at::arange(hidden.size(0), at::kLong);
  input.mode = mode;
  input.layer = 3;
  input.step = 17;
  return input;
}
RouterInput with_logits(const at::Tensor& logits, Mode mode = Mode::train) {
  return input_of(logits, at::eye(logits.size(1), logits.options()), mode);
}

void check_shapes(const RoutingDecision& decision, int64_t T, int64_t E, int64_t K, at::ScalarType dtype) {
  EXPECT_EQ(decision.n_tokens, T);
  EXPECT_EQ(decision.n_experts, E);
  EXPECT_EQ(decision.top_k, K);
  EXPECT_EQ(decision.logits.sizes(), (at::IntArrayRef{T, E}));
  EXPECT_EQ(decision.logits.scalar_type(), dtype);
  EXPECT_EQ(decision.weights.scalar_type(), dtype);
  EXPECT_EQ(decision.expert_ids.scalar_type(), at::kLong);
  const int64_t N = decision.expert_ids.size(0);
  EXPECT_EQ(decision.token_ids.sizes(), (at::IntArrayRef{N}));
  EXPECT_EQ(decision.weights.sizes(), (at::IntArrayRef{N}));
  EXPECT_EQ(N, T * K);  // token choice
  EXPECT_TRUE(same_bits(decision.token_ids, at::arange(T, at::kLong).repeat_interleave(K)));
  EXPECT_TRUE(ops::all_finite(decision.weights));
  if (N == 0) return;
  EXPECT_GE(decision.expert_ids.min().item<int64_t>(), 0);
  EXPECT_LT(decision.expert_ids.max().item<int64_t>(), E);
  const auto sorted = std::get<0>(decision.expert_ids.view({T, K}).sort(1));
  EXPECT_TRUE(sorted.narrow(1, 1, K - 1).gt(sorted.narrow(1, 0, K - 1)).all().item<bool>()) << "an expert twice";
}

TEST_P(RouterContract, GivesIdsInRangeAndDistinctForEveryNumberOfTokens) {
  for (const auto mode : {Mode::train, Mode::eval})
    for (const int64_t E : {1, 2, 5})
      for (const int64_t K : choices(E))
        for (const int64_t T : {0, 1, 3, 40})
          for (const auto dtype : {at::kFloat, at::kDouble}) {
            const auto input = input_of(random_tensor({T, 6}, 1).to(dtype), random_tensor({E, 6}, 2).to(dtype), mode);
            check_shapes(make(E, K)->route(input), T, E, K, dtype);
          }
}

TEST_P(RouterContract, GivesTiesToTheLowerExpert) {
  const auto logits = at::full({6, 4}, 0.75, at::kFloat);
  for (const auto mode : {Mode::train, Mode::eval})
    for (const int64_t K : choices(4)) {
      const auto ids = make(4, K)->route(with_logits(logits, mode)).expert_ids.view({6, K});
      EXPECT_TRUE(same_bits(ids, at::arange(K, at::kLong).expand({6, K})));
    }
}

TEST_P(RouterContract, StaysFiniteOrNamesLayerAndStepAtLargeLogits) {
  auto alternating = at::full({8, 4}, -1e4, at::kFloat), one_expert = alternating.clone();
  for (int64_t t = 0; t < 8; ++t) alternating[t][t % 4] = 1e4;
  one_expert.select(1, 2).fill_(1e4);
  const int64_t K = choices(4).front();
  const auto router = make(4, K);
  for (const auto mode : {Mode::train, Mode::eval})
    for (const auto& logits : {alternating, one_expert, one_expert.neg(), at::full({8, 4}, 1e4, at::kFloat)}) {
      if (router->traits().max_abs_logit >= 1e4) {
        check_shapes(router->route(with_logits(logits, mode)), 8, 4, K, at::kFloat);
      } else {
        EXPECT_THAT(testing::message_of<NumericsError>([&] { router->route(with_logits(logits, mode)); }), HasSubstr("layer 3, step 17"));
      }
    }
  // At the edge of the stated range all is finite.
  const double edge = std::min(1e4, router->traits().max_abs_logit);
  check_shapes(router->route(with_logits(alternating / 1e4 * edge)), 8, 4, K, at::kFloat);
  check_shapes(router->route(with_logits(one_expert / 1e4 * edge)), 8, 4, K, at::kFloat);
}

TEST_P(RouterContract, RefusesNanNamingLayerAndStep) {
  auto hidden = random_tensor({5, 6}, 3).to(at::kFloat);
  hidden[2][1] = std::numeric_limits<float>::quiet_NaN();
  for (const auto mode : {Mode::train, Mode::eval}) {
    const auto message = testing::message_of<NumericsError>(
        [&] { make(4, 2)->route(input_of(hidden, random_tensor({4, 6}, 4).to(at::kFloat), mode)); });
    EXPECT_THAT(message, HasSubstr("layer 3, step 17"));
  }
}

TEST_P(RouterContract, CommutesWithAPermutationOfTokensWhereItsScopeIsTheToken) {
  const auto hidden = random_tensor({12, 6}, 5), weight = random_tensor({4, 6}, 6);
  const auto router = make(4, 2);
  for (const auto mode : {Mode::train, Mode::eval}) {
    const auto scope = mode == Mode::train ? router->traits().train_scope : router->traits().eval_scope;
    const auto plain = router->route(input_of(hidden, weight, mode)), turned = router->route(input_of(at::flip(hidden, {0}), weight, mode));
    const auto ids = at::flip(turned.expert_ids.view({12, 2}), {0}), weights = at::flip(turned.weights.view({12, 2}), {0});
    // A plan of the micro-batch sums its columns in another order; its selection has gaps far above that.
    EXPECT_TRUE(same_bits(ids, plain.expert_ids.view({12, 2})));
    testing::expect_close(weights, plain.weights.view({12, 2}), 1e-13, 0, "weights");  // fp64 GEMM rows
    if (scope != Scope::token) continue;
    const auto alone = router->route(input_of(hidden.narrow(0, 4, 1), weight, mode));
    EXPECT_TRUE(same_bits(alone.expert_ids, plain.expert_ids.narrow(0, 8, 2))) << "a token's experts depend on the others";
  }
}

TEST_P(RouterContract, GivesTheSameBitsForTheSameInput) {
  const auto input = input_of(random_tensor({64, 6}, 7).to(at::kFloat), random_tensor({5, 6}, 8).to(at::kFloat));
  const auto router = make(5, 3);
  const auto first = router->route(input), second = router->route(input), other = make(5, 3)->route(input);
  for (const auto* again : {&second, &other}) {
    EXPECT_TRUE(same_bits(first.expert_ids, again->expert_ids));
    EXPECT_TRUE(same_bits(first.weights, again->weights));
    EXPECT_TRUE(same_bits(first.logits, again->logits));
  }
}

TEST_P(RouterContract, WeightGradientsMatchFiniteDifferences) {
  // One hidden column per expert and logits at least 0.3 apart: a step of 1e-6 changes no selection.
  for (const int64_t K : {GetParam().second.smallest_k, int64_t{3}}) {
    auto hidden = random_tensor({6, 4}, 9, 0.05);
    for (int64_t t = 0; t < 6; ++t)
      for (int64_t e = 0; e < 4; ++e) hidden[t][e] += 0.5 * static_cast<double>((t + 3 * e) % 4);
    const auto weight = at::eye(4, at::kDouble) + random_tensor({4, 4}, 10, 0.02);
    const auto coefficients = random_tensor({6 * K}, 11);
    const auto router = make(4, K);
    testing::expect_gradients([&](const auto& in) { return (router->route(input_of(in[0], in[1])).weights * coefficients).sum(); },
                              {hidden, weight});
  }
}

TEST_P(RouterContract, NothingFlowsBackThroughTheSelection) {
  // The sum of normalised weights is the constant T: whatever flows back then could only come through the
  // selection. Other weights are covered by the finite differences.
  const auto toml = GetParam().second.toml;
  const bool is_normalized = toml.find("renormalize = true") != std::string::npos || toml.find("softmax_post") != std::string::npos;
  if (!is_normalized) return;
  const auto gradient = testing::gradients_of(
      [&](const auto& in) { return make(5, 3)->route(input_of(in[0], in[1])).weights.sum(); }, {random_tensor({8, 6}, 12), random_tensor({5, 6}, 13)});
  EXPECT_LT(gradient[0].abs().max().item<double>(), 1e-14);  // cancels to rounding
  EXPECT_LT(gradient[1].abs().max().item<double>(), 1e-14);
}

TEST_P(RouterContract, PaddingDoesNotChangeTheOthers) {
  const auto hidden = random_tensor({16, 6}, 14), weight = random_tensor({4, 6}, 15);
  auto is_padding = at::zeros({16}, at::kBool);
  is_padding.narrow(0, 10, 6).fill_(true);
  const auto router = make(4, 2);
  auto input = input_of(hidden, weight);
  input.is_padding = is_padding;
  const auto first = router->route(input);
  EXPECT_TRUE(first.is_padding.defined());
  auto other = hidden.clone();
  other.narrow(0, 10, 6).mul_(-3.0);
  input.hidden = other;
  const auto second = router->route(input);
  EXPECT_TRUE(same_bits(first.expert_ids.narrow(0, 0, 20), second.expert_ids.narrow(0, 0, 20)));
  for (const auto& kind : balance_loss_kinds())
    EXPECT_EQ(kind.compute({first}).item<double>(), kind.compute({second}).item<double>()) << kind.name;
}

TEST_P(RouterContract, AfterStepChangesOnlyDeclaredState) {
  const auto router = make(4, 2);
  auto state = router->initial_state();
  const auto decision = router->route(input_of(random_tensor({8, 6}, 16), random_tensor({4, 6}, 17)));
  const size_t declared = state.size();
  router->after_step(state, decision.balance_statistics);
  EXPECT_EQ(state.size(), declared);
  for (const auto& [name, tensor] : state) EXPECT_GE(tensor.element_size(), 4) << name;  // fp32 or wider
}

TEST_P(RouterContract, ListsItsOptionsSoThatTheyReadBack) {
  const auto options = make(4, 2)->options();
  std::string toml;
  for (const auto& [key, value] : options.as_object()) toml += key + " = " + value.dump() + "\n";
  EXPECT_EQ(make_router({4, 2}, parse_toml(toml, "again", ""))->options(), options);
}

TEST_P(RouterContract, RefusesUnknownKeysAndWrongValues) {
  const std::string kind = "kind = \"" + GetParam().first + "\"\n";
  const auto message = testing::message_of<ConfigError>([&] { make_router({4, 2}, parse_toml(kind + "renormalise = true", "recipe.toml", "")); });
  EXPECT_THAT(message, HasSubstr("recipe.toml:2:1"));
  EXPECT_THAT(message, HasSubstr("did you mean 'renormalize'"));
  EXPECT_THROW(make_router({4, 2}, parse_toml(kind + "renormalize = 1", "r", "")), ConfigError);
  const Json options = make(4, 2)->options();
  for (const auto& [key, value] : options.as_object()) {
    if (key == "kind") continue;
    EXPECT_THROW(make_router({4, 2}, parse_toml(kind + key + " = []", "r", "")), ConfigError) << key;
    const std::string wrong = value.is_string() ? "\"\"" : "-1";
    EXPECT_THROW(make_router({4, 2}, parse_toml(kind + key + " = " + wrong, "r", "")), ConfigError) << key;
  }
}

std::vector<std::pair<std::string, Form>> all_forms() {
  std::vector<std::pair<std::string, Form>> out;
  const auto table = forms();
  for (const auto& kind : router_kinds())
    for (const auto& form : table.at(kind.name)) out.emplace_back(kind.name, form);  // a router without forms throws here
  return out;
}
std::string name_of(const ::testing::TestParamInfo<std::pair<std::string, Form>>& info) {
  std::string out = info.param.first + "_";
  for (const char c : info.param.second.toml)
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) out += c;
  return out;
}
INSTANTIATE_TEST_SUITE_P(AllRouters, RouterContract, ::testing::ValuesIn(all_forms()), name_of);

}  // namespace
}  // namespace evenkeel::moe
