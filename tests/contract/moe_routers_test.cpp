// What the decision of every registered router keeps, in all its forms (tests/support/router_forms.h). What its traits
// claim is searched for counterexamples in moe_router_traits_test.cpp.
#include <limits>

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "ops/top_k.h"
#include "support/files.h"
#include "support/router_forms.h"

namespace evenkeel::moe {
namespace {

using testing::choices_of;
using ::testing::HasSubstr;
using testing::is_same;
using testing::leaning_logits;
using testing::random_tensor;
using testing::RouterForm;
using testing::same_bits;
using testing::TestedRouter;

constexpr Mode kModes[] = {Mode::train, Mode::eval};

class RouterContract : public ::testing::TestWithParam<RouterForm> {
 protected:
  static TestedRouter make(int64_t n_experts, int64_t top_k) { return TestedRouter(GetParam(), n_experts, top_k); }
  // Calls with every (E, k) that the form takes.
  template <class F>
  static void for_each_shape(F&& call) {
    for (const int64_t E : GetParam().experts) {
      const auto smallest = GetParam().smallest_k;
      if (smallest > E) continue;
      for (const int64_t K : GetParam().choices(E, make(E, smallest).traits.max_top_k)) call(E, K);
    }
  }
  // One shape with a choice: the most experts, and two a token where the form allows.
  static TestedRouter make_typical() {
    const int64_t E = GetParam().experts.back(), smallest = GetParam().smallest_k;
    const int64_t largest = std::min(GetParam().largest_k, make(E, smallest).traits.max_top_k);
    return make(E, std::min(std::max<int64_t>(2, smallest), largest));
  }
};

void check_ids(const RoutingDecision& decision) {
  const auto choices = choices_of(decision);
  int64_t last_token = 0;
  for (int64_t n = 0; n < decision.token_ids.size(0); ++n) {
    EXPECT_GE(decision.token_ids[n].item<int64_t>(), last_token) << "not ordered by token";
    last_token = decision.token_ids[n].item<int64_t>();
  }
  for (const auto& choice : choices) {
    std::set<int64_t> distinct;
    for (const auto& [expert, weight] : choice) {
      EXPECT_TRUE(expert >= 0 && expert < decision.n_experts) << expert;
      EXPECT_TRUE(distinct.insert(expert).second) << "expert " << expert << " twice for a token";
    }
  }
}

void check_decision(const TestedRouter& tested, const RouterInput& input, const RoutingDecision& decision) {
  const int64_t T = input.hidden.size(0), E = tested.shape.n_experts, K = tested.shape.top_k;
  const auto dtype = input.hidden.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  EXPECT_EQ(decision.layer, input.layer);
  EXPECT_EQ(decision.n_tokens, T);
  EXPECT_EQ(decision.n_experts, E);
  EXPECT_EQ(decision.top_k, K);
  EXPECT_EQ(decision.n_sequences, input.n_sequences);
  EXPECT_EQ(decision.logits.defined(), tested.traits.has_matrix);
  if (decision.logits.defined()) {
    EXPECT_EQ(decision.logits.sizes(), (at::IntArrayRef{T, E}));
    EXPECT_EQ(decision.logits.scalar_type(), dtype);
  }
  const int64_t N = decision.expert_ids.size(0);
  EXPECT_EQ(decision.token_ids.sizes(), (at::IntArrayRef{N}));
  EXPECT_EQ(decision.weights.sizes(), (at::IntArrayRef{N}));
  EXPECT_EQ(decision.token_ids.scalar_type(), at::kLong);
  EXPECT_EQ(decision.expert_ids.scalar_type(), at::kLong);
  EXPECT_EQ(decision.weights.scalar_type(), dtype);
  EXPECT_FALSE(decision.dropped.defined()) << "capacity is not a router's";
  EXPECT_TRUE(ops::all_finite(decision.weights));
  if (decision.expert_input.defined()) {
    EXPECT_EQ(decision.expert_input.sizes(), input.hidden.sizes());
    EXPECT_EQ(decision.expert_input.scalar_type(), input.hidden.scalar_type());
  }
  check_ids(decision);
}

TEST_P(RouterContract, GivesIdsInRangeAndDistinctForEveryNumberOfTokens) {
  for_each_shape([](int64_t E, int64_t K) {
    const auto tested = make(E, K);
    for (const auto mode : kModes)
      for (const int64_t T : {0, 1, 3, 40})
        for (const auto dtype : {at::kBFloat16, at::kFloat, at::kDouble}) {
          const auto input = tested.input(random_tensor({T, 6}, 1).to(dtype), random_tensor({E, 6}, 2).to(dtype), mode);
          check_decision(tested, input, tested.route(input));
        }
  });
}

// At evaluation in the state that a run begins with nothing stands between a logit and the choice.
TEST_P(RouterContract, PutsATokensBestExpertFirst) {
  for_each_shape([](int64_t E, int64_t K) {
    const auto tested = make(E, K);
    if (!tested.traits.has_matrix) return;
    for (const auto mode : kModes) {
      const auto decision = tested.route(tested.with_logits(leaning_logits(40, E, 3), mode, 2));
      auto scores = decision.logits;
      if (decision.plan.defined()) scores = scores + decision.plan;
      if (mode == Mode::eval && tested.traits.eval_scope == Scope::sequence && GetParam().kind == "sinkhorn")
        continue;  // a plan for each sequence
      const auto of = [&](size_t token, int64_t expert) {
        return scores[static_cast<int64_t>(token)][expert].item<double>();
      };
      const auto choices = choices_of(decision);
      for (size_t t = 0; t < choices.size(); ++t)
        for (size_t i = 1; i < choices[t].size(); ++i)
          EXPECT_GE(of(t, choices[t][i - 1].first), of(t, choices[t][i].first)) << "token " << t;
      const bool looks_alone =
          tested.traits.exactly_k && tested.traits.eval_scope == Scope::token && !GetParam().has_groups();
      if (mode != Mode::eval || !looks_alone) continue;
      EXPECT_TRUE(same_bits(decision.expert_ids.view({40, K}), ops::top_k_ids(decision.logits, K)));
    }
  });
}

TEST_P(RouterContract, GivesTiesToTheLowerExpert) {
  for_each_shape([](int64_t E, int64_t K) {
    const auto tested = make(E, K);
    if (!tested.traits.has_matrix || GetParam().draws()) return;
    for (const auto mode : kModes) {
      for (const auto& [T, logit] : {std::pair{1, 0.0}, {3, 0.75}, {10, 0.75}, {37, -3.3}, {16, 0.001}, {11, 17.0}}) {
        const auto decision = tested.route(tested.with_logits(at::full({T, E}, logit, at::kFloat), mode));
        const bool takes_the_lowest = tested.traits.exactly_k && !tested.traits.balanced_train;
        for (const auto& choice : choices_of(decision))
          for (size_t i = 0; i < choice.size(); ++i) {
            EXPECT_TRUE(i == 0 || choice[i].first > choice[i - 1].first) << "logits " << logit;
            EXPECT_TRUE(!takes_the_lowest || choice[i].first == static_cast<int64_t>(i)) << "logits " << logit;
          }
      }
    }
  });
}

TEST_P(RouterContract, StaysFiniteOrNamesLayerAndStepAtLargeLogits) {
  for_each_shape([](int64_t E, int64_t K) {
    auto turns = at::full({8, E}, -1e4, at::kFloat), one_expert = turns.clone();
    for (int64_t t = 0; t < 8; ++t) turns[t][t % E] = 1e4;
    one_expert.select(1, E / 2).fill_(1e4);
    auto tested = make(E, K);
    for (const auto mode : kModes)
      for (const auto& logits : {turns, one_expert, one_expert.neg(), at::full({8, E}, 1e4, at::kFloat),
                                 at::full({8, E}, -1e4, at::kFloat)}) {
        const auto input = tested.with_logits(logits, mode);
        const double range = mode == Mode::train ? tested.traits.max_abs_logit : tested.traits.max_abs_logit_eval;
        if (!tested.traits.has_matrix || range >= 1e4) {
          check_decision(tested, input, tested.route(input));
        } else {
          EXPECT_THAT(testing::message_of<NumericsError>([&] { tested.route(input); }), HasSubstr("layer 3, step 17"));
        }
      }
    // At the edge of the stated range all is finite, also what the balancing makes of it.
    const double edge = std::min(1e4, tested.traits.max_abs_logit);
    const auto input = tested.with_logits(turns / 1e4 * edge);
    check_decision(tested, input, tested.route(input));
    tested.train_on({turns / 1e4 * edge, one_expert / 1e4 * edge});
    for (const auto& [name, tensor] : tested.state) EXPECT_TRUE(ops::all_finite(tensor.to(at::kDouble))) << name;
  });
}

TEST_P(RouterContract, RefusesNanAndInfinityNamingLayerAndStep) {
  const auto tested = make_typical();
  if (!tested.traits.has_matrix) return;
  for (const double value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    for (const auto mode : kModes) {
      auto hidden = random_tensor({5, 6}, 3).to(at::kFloat);
      hidden[2][1] = value;
      const auto input = tested.input(hidden, random_tensor({tested.shape.n_experts, 6}, 4).to(at::kFloat), mode);
      EXPECT_THAT(testing::message_of<NumericsError>([&] { tested.route(input); }), HasSubstr("layer 3, step 17"));
    }
}

TEST_P(RouterContract, TheSameInputGivesTheSameBits) {
  const auto tested = make_typical(), other = make_typical();
  const auto hidden = random_tensor({64, 6}, 7).to(at::kFloat),
             weight = random_tensor({tested.shape.n_experts, 6}, 8).to(at::kFloat);
  for (const auto mode : kModes) {
    const auto input = tested.input(hidden, weight, mode, 4);
    const auto first = tested.route(input);
    for (const auto& again : {tested.route(input), other.route(other.input(hidden, weight, mode, 4))}) {
      EXPECT_TRUE(same_bits(first.expert_ids, again.expert_ids));
      EXPECT_TRUE(same_bits(first.weights, again.weights));
      EXPECT_TRUE(!first.logits.defined() || same_bits(first.logits, again.logits));
    }
    auto elsewhere = input;  // another step or micro-batch
    elsewhere.seed = 24;
    const auto drawn = tested.route(elsewhere);
    const bool stays = same_bits(first.expert_ids, drawn.expert_ids) && same_bits(first.weights, drawn.weights);
    if (mode == Mode::eval && GetParam().draws()) continue;  // where there are draws at evaluation
    EXPECT_EQ(stays, !GetParam().draws()) << "draws are new in each step, and nothing else is";
  }
}

// The weights of each token against central differences, in hidden states and matrix. The selection is held: the test
// fails where a step changes it. What flowed back through a selection would differ from these differences.
TEST_P(RouterContract, WeightGradientsMatchFiniteDifferences) {
  const int64_t E = GetParam().experts.back(), smallest = GetParam().smallest_k;
  std::set<int64_t> choices = {smallest, make_typical().shape.top_k};
  for (const int64_t K : choices) {
    const auto tested = make(E, K);
    const auto hidden = random_tensor({6, 5}, 9, 0.8), weight = random_tensor({E, 5}, 10, 0.8);
    const auto held = tested.route(tested.input(hidden, weight));
    EXPECT_EQ(tested.route(tested.input(hidden.clone().requires_grad_(true), weight.clone().requires_grad_(true)))
                  .weights.requires_grad(),
              tested.traits.has_weight_gradient);
    if (!tested.traits.has_weight_gradient) continue;
    const auto coefficients = random_tensor({held.weights.size(0)}, 11);
    const auto weighted = [&](const std::vector<at::Tensor>& in) {
      const auto decision = tested.route(tested.input(in[0], in[1]));
      if (!same_bits(decision.expert_ids, held.expert_ids) || !same_bits(decision.token_ids, held.token_ids))
        throw std::logic_error("a step changed the selection");
      return (decision.weights * coefficients).sum();
    };
    testing::expect_gradients(weighted, {hidden, weight});
  }
}

TEST_P(RouterContract, NothingFlowsBackThroughTheSelection) {
  const auto tested = make_typical();
  if (!tested.traits.has_weight_gradient) return;
  const auto hidden = random_tensor({8, 6}, 12), weight = random_tensor({tested.shape.n_experts, 6}, 13);
  // The weights of one token's experts depend on that token alone, whatever was looked at to choose them.
  const auto first = tested.route(tested.input(hidden, weight)).token_ids.eq(0).to(at::kDouble);
  const auto alone = testing::gradients_of(
      [&](const auto& in) { return (tested.route(tested.input(in[0], in[1])).weights * first).sum(); },
      {hidden, weight});
  EXPECT_EQ(alone[0].narrow(0, 1, 7).abs().max().item<double>(), 0.0);
  // Weights that add up to 1 have a constant sum, so that all their gradients cancel to rounding.
  const auto& keys = GetParam().keys;
  const bool adds_up =
      (keys.find("renormalize = true") != std::string::npos && keys.find("norm_p") == std::string::npos) ||
      keys.find("softmax_post") != std::string::npos;
  if (!adds_up || tested.shape.top_k == 1) return;
  for (const auto& gradient : testing::gradients_of(
           [&](const auto& in) { return tested.route(tested.input(in[0], in[1])).weights.sum(); }, {hidden, weight}))
    EXPECT_LT(gradient.abs().max().item<double>(), 1e-13);
}

TEST_P(RouterContract, PaddingIsNeverCountedAndDoesNotChangeTheOthers) {
  for_each_shape([](int64_t E, int64_t K) {
    const auto tested = make(E, K);
    const auto logits = leaning_logits(16, E, 14);
    for (const auto mode : kModes) {
      auto input = tested.with_logits(logits, mode);
      input.is_padding = at::zeros({16}, at::kBool);
      input.is_padding.narrow(0, 10, 6).fill_(true);
      const auto decision = tested.route(input);
      EXPECT_TRUE(decision.is_padding.defined());
      auto other = input;
      other.hidden = logits.clone();
      other.hidden.narrow(0, 10, 6).mul_(-3.0);
      other.token_ids = input.token_ids.clone();
      other.token_ids.narrow(0, 10, 6).fill_(1);
      auto without = testing::rows_of(input, at::arange(10, at::kLong), 1);
      without.is_padding = at::Tensor();
      const auto first = choices_of(decision), second = choices_of(tested.route(other)),
                 alone = choices_of(tested.route(without));
      for (size_t t = 0; t < 10; ++t)
        EXPECT_TRUE(is_same(first[t], second[t]) && is_same(first[t], alone[t]))
            << "token " << t << " of E " << E << ", k " << K;
      for (size_t t = 10; t < 16; ++t) EXPECT_TRUE(tested.traits.exactly_k || first[t].empty()) << "padding was taken";
      const auto counted = tested.router->balance_statistics(input, decision),
                 need = tested.router->balance_statistics(without, tested.route(without));
      EXPECT_EQ(counted.defined(), need.defined());
      if (counted.defined()) testing::expect_close(counted, need, 1e-12, 1e-12, "statistics");
      auto nothing = input;
      nothing.is_padding = at::full({16}, true, at::kBool);
      check_decision(tested, nothing, tested.route(nothing));
    }
  });
}

std::string name_of(const ::testing::TestParamInfo<RouterForm>& info) { return info.param.name(); }
INSTANTIATE_TEST_SUITE_P(AllRouters, RouterContract, ::testing::ValuesIn(testing::router_forms()), name_of);

}  // namespace
}  // namespace evenkeel::moe
