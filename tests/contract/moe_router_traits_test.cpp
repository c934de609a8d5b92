// What every registered router claims of itself (RouterTraits), by search over seeded random micro-batches: of what
// is claimed no counterexample may be found, and of what is denied one must be, so that no claim is wider than need be.
#include <functional>

#include <ATen/ops/bincount.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "support/router_forms.h"

namespace evenkeel::moe {
namespace {

using testing::Choice;
using testing::choices_of;
using testing::is_same;
using testing::leaning_logits;
using testing::random_tensor;
using testing::RouterForm;
using testing::same_bits;
using testing::TestedRouter;

constexpr int64_t kLength = 8;  // positions of a sequence
constexpr int kTrials = 20;

at::Tensor rows(int64_t first, int64_t count) { return at::arange(first, first + count, at::kLong); }

class RouterTraitsContract : public ::testing::TestWithParam<RouterForm> {
 protected:
  // Fewer choices than experts, so that there is something to choose; in a state that some steps have left.
  static std::vector<TestedRouter> make_all() {
    std::vector<TestedRouter> out;
    for (const int64_t E : GetParam().experts) {
      if (GetParam().smallest_k >= E) continue;
      for (const int64_t K :
           GetParam().choices(E, TestedRouter(GetParam(), E, GetParam().smallest_k).traits.max_top_k)) {
        if (K > 4 || K == E) continue;
        auto& tested = out.emplace_back(GetParam(), E, K);
        tested.train_on({leaning_logits(40, E, 50), leaning_logits(24, E, 51), leaning_logits(33, E, 52)});
      }
    }
    return out;
  }

  // A micro-batch of trial % 3 + 1 sequences.
  static RouterInput batch_of(const TestedRouter& tested, int trial, Mode mode) {
    const int64_t B = trial % 3 + 1;
    auto input = tested.with_logits(
        leaning_logits(B * kLength, tested.shape.n_experts, 100 + static_cast<uint64_t>(trial)), mode, B);
    input.token_ids = testing::random_ids(B * kLength, TestedRouter::kVocabulary, 700 + static_cast<uint64_t>(trial));
    return input;
  }

  using Finds = std::function<bool(const TestedRouter&, const RouterInput&, int trial)>;
  // True when a trial of a shape finds what it looks for.
  static bool search(const std::vector<TestedRouter>& routers, Mode mode, const Finds& finds) {
    for (const auto& tested : routers)
      for (int trial = 0; trial < kTrials; ++trial)
        if (finds(tested, batch_of(tested, trial, mode), trial)) return true;
    return false;
  }

  // Does a part of the micro-batch, alone, get another decision than within it? Parts of `length` tokens.
  static bool differs_alone(const TestedRouter& tested, const RouterInput& input, int64_t length) {
    const auto whole = choices_of(tested.route(input));
    const auto T = static_cast<int64_t>(whole.size());
    for (int64_t first = 0; first < T; first += length) {
      const auto alone = choices_of(tested.route(testing::rows_of(input, rows(first, length), 1)));
      if (!std::equal(alone.begin(), alone.end(), whole.begin() + first,
                      [](const Choice& a, const Choice& b) { return is_same(a, b); }))
        return true;
    }
    return false;
  }

  static Scope scope_of(const TestedRouter& tested, Mode mode) {
    return mode == Mode::train ? tested.traits.train_scope : tested.traits.eval_scope;
  }
};

TEST_P(RouterTraitsContract, ADecisionLooksAtItsScopeAndAtAllOfIt) {
  const auto routers = make_all();
  for (const auto mode : {Mode::train, Mode::eval}) {
    const Scope scope = scope_of(routers.at(0), mode);
    const bool beyond_token = search(
        routers, mode, [](const auto& tested, const auto& input, int) { return differs_alone(tested, input, 1); });
    const bool beyond_sequence = search(routers, mode, [](const auto& tested, const auto& input, int) {
      return differs_alone(tested, input, kLength);
    });
    EXPECT_EQ(beyond_token, scope != Scope::token) << "mode " << static_cast<int>(mode) << ": a token alone is routed "
                                                   << (beyond_token ? "otherwise" : "the same");
    EXPECT_EQ(beyond_sequence, scope == Scope::micro_batch || scope == Scope::step)
        << "mode " << static_cast<int>(mode) << ": a sequence alone is routed "
        << (beyond_sequence ? "otherwise" : "the same");
  }
}

TEST_P(RouterTraitsContract, EvaluationNeverDependsOnTheBatch) {
  for (const auto& tested : make_all()) {
    EXPECT_TRUE(tested.traits.eval_scope == Scope::token || tested.traits.eval_scope == Scope::sequence);
    for (int trial = 0; trial < kTrials; ++trial)
      EXPECT_FALSE(differs_alone(tested, batch_of(tested, trial, Mode::eval), kLength));
  }
}

TEST_P(RouterTraitsContract, APermutationOfTheTokensPermutesTheDecisionWhereTheScopeIsTheToken) {
  for (const auto& tested : make_all())
    for (const auto mode : {Mode::train, Mode::eval}) {
      if (scope_of(tested, mode) != Scope::token) continue;
      for (int trial = 0; trial < kTrials; ++trial) {
        const auto input = batch_of(tested, trial, mode);
        const auto turned = at::flip(rows(0, input.hidden.size(0)), {0});
        const auto plain = choices_of(tested.route(input)),
                   other = choices_of(tested.route(testing::rows_of(input, turned, input.n_sequences)));
        EXPECT_TRUE(std::equal(plain.begin(), plain.end(), other.rbegin(),
                               [](const Choice& a, const Choice& b) { return is_same(a, b); }));
      }
    }
}

// The plan of a step is made once: with it, micro-batches of any size are routed alike.
TEST_P(RouterTraitsContract, APlanOfTheStepMakesTheMicroBatchSizeImmaterial) {
  for (const auto& tested : make_all()) {
    if (tested.traits.train_scope != Scope::step) continue;
    for (int trial = 0; trial < kTrials; ++trial) {
      auto input = batch_of(tested, trial, Mode::train);
      const auto decision = tested.route(input);
      ASSERT_TRUE(decision.plan.defined());
      EXPECT_EQ(decision.plan.sizes(), (at::IntArrayRef{tested.shape.n_experts}));
      input.step_plan = decision.plan;
      EXPECT_FALSE(differs_alone(tested, input, kLength));
      EXPECT_FALSE(differs_alone(tested, input, 1));
    }
  }
}

// Tokens from a random position of one sequence on are replaced: does one before it change?
TEST_P(RouterTraitsContract, LaterTokensChangeEarlierDecisionsExactlyWhereItIsNotCausal) {
  const auto routers = make_all();
  for (const auto mode : {Mode::train, Mode::eval}) {
    const bool is_causal = mode == Mode::train ? routers.at(0).traits.causal_train : routers.at(0).traits.causal_eval;
    const bool found = search(routers, mode, [](const auto& tested, const auto& input, int trial) {
      const int64_t from = 1 + trial % (kLength - 1), sequence = trial % input.n_sequences, first = sequence * kLength;
      auto other = input;
      other.hidden = input.hidden.clone();
      other.hidden.narrow(0, first + from, kLength - from)
          .copy_(random_tensor({kLength - from, tested.shape.n_experts}, 300 + static_cast<uint64_t>(trial), 3.0));
      other.token_ids = input.token_ids.clone();
      other.token_ids.narrow(0, first + from, kLength - from).fill_(trial % TestedRouter::kVocabulary);
      const auto before = choices_of(tested.route(input)), after = choices_of(tested.route(other));
      return !std::equal(before.begin() + first, before.begin() + first + from, after.begin() + first,
                         [](const Choice& a, const Choice& b) { return is_same(a, b); });
    });
    EXPECT_EQ(found, !is_causal) << "mode " << static_cast<int>(mode);
  }
}

TEST_P(RouterTraitsContract, EveryTokenGetsItsKExpertsExactlyWhereItSaysSo) {
  const auto routers = make_all();
  for (const auto mode : {Mode::train, Mode::eval}) {
    const bool found = search(routers, mode, [](const auto& tested, const auto& input, int) {
      for (const auto& choice : choices_of(tested.route(input)))
        if (static_cast<int64_t>(choice.size()) != tested.shape.top_k) return true;
      return false;
    });
    EXPECT_EQ(found, !routers.at(0).traits.exactly_k) << "mode " << static_cast<int>(mode);
  }
}

TEST_P(RouterTraitsContract, ATokenGetsTheMeanNumberOfExpertsInTraining) {
  for (const auto& tested : make_all()) {
    const double mean =
        tested.traits.mean_experts > 0 ? tested.traits.mean_experts : static_cast<double>(tested.shape.top_k);
    const int64_t T = 8 * tested.shape.n_experts;  // so that the experts' shares are whole numbers
    const auto decision =
        tested.route(tested.with_logits(leaning_logits(T, tested.shape.n_experts, 60), Mode::train, 8));
    EXPECT_DOUBLE_EQ(static_cast<double>(decision.expert_ids.size(0)), mean * static_cast<double>(T));
  }
}

TEST_P(RouterTraitsContract, LoadsDifferByAtMostOneInTrainingExactlyWhereItSaysSo) {
  const auto routers = make_all();
  const bool found = search(routers, Mode::train, [](const auto& tested, const auto& given, int trial) {
    auto input = given;
    if (trial % 2 == 1)
      input.is_padding = testing::random_ids(input.hidden.size(0), 4, 400 + static_cast<uint64_t>(trial)).eq(0);
    const auto decision = tested.route(input);
    auto counted = at::full(decision.expert_ids.sizes(), 1.0, at::kDouble);
    if (input.is_padding.defined())
      counted = counted * input.is_padding.logical_not().index_select(0, decision.token_ids);
    const auto loads = at::bincount(decision.expert_ids, counted, tested.shape.n_experts);
    return (loads.max() - loads.min()).template item<double>() > 1;
  });
  EXPECT_EQ(found, !routers.at(0).traits.balanced_train);
}

TEST_P(RouterTraitsContract, LoadsOfASequenceDifferByAtMostOneAtEvaluationExactlyWhereItSaysSo) {
  const auto routers = make_all();
  const bool found = search(routers, Mode::eval, [](const auto& tested, const auto& input, int) {
    const auto decision = tested.route(input);
    for (int64_t sequence = 0; sequence < input.n_sequences; ++sequence) {
      const auto is_its = decision.token_ids.floor_divide(kLength).eq(sequence);
      const auto loads = at::bincount(decision.expert_ids.masked_select(is_its), {}, tested.shape.n_experts);
      if ((loads.max() - loads.min()).template item<int64_t>() > 1) return true;
    }
    return false;
  });
  EXPECT_EQ(found, !routers.at(0).traits.balanced_eval);
}

// Nearly all tokens like the first k experts best. Without a balance loss a router that needs one sends them there for
// ever; with any other the largest load goes more than half the way to an even one.
TEST_P(RouterTraitsContract, NeedsABalanceLossExactlyWhereNothingElseBalances) {
  if (GetParam().keys.find("rate_until") != std::string::npos) return;  // stands still by intention
  for (auto& tested : make_all()) {
    constexpr int64_t kTokens = 64;
    const int64_t E = tested.shape.n_experts, K = tested.shape.top_k, half_way = kTokens * (E + K) / (2 * E);
    auto logits = random_tensor({kTokens, E}, 61, 0.5);
    // A lean that no jitter turns round, where nothing works against it. Elsewhere a jitter of 0.3 of it would be as
    // wide as the other logits, and what is even in the mean (Sinkhorn's plan) would not be so in one draw.
    logits.narrow(1, 0, K).add_(GetParam().draws() && tested.traits.needs_balance ? 4.0 : 2.0);
    const auto largest_load = [&] {
      auto input = tested.with_logits(logits);
      input.token_ids = rows(0, kTokens).remainder(TestedRouter::kVocabulary);
      return at::bincount(tested.route(input).expert_ids, {}, E).max().item<int64_t>();
    };
    const int n_steps =
        tested.state.size() > 0 ? 2500 : 0;  // the slowest bias moves by 1e-3 a step, and the logits are 2 apart
    for (int step = 0; step < n_steps && largest_load() > half_way; ++step) tested.train_on({logits});
    EXPECT_EQ(largest_load() > half_way, tested.traits.needs_balance)
        << "E " << E << ", k " << K << ": " << largest_load() << " of " << kTokens;
  }
}

TEST_P(RouterTraitsContract, ItsStateIsMadeFromTokenCountsExactlyWhereItAsksForThem) {
  for (const auto& tested : make_all()) {
    const auto state_of = [&](const at::Tensor& counts) { return tested.router->initial_state({0, 11, counts}); };
    const auto first = state_of(rows(0, TestedRouter::kVocabulary)),
               second = state_of(at::flip(rows(0, TestedRouter::kVocabulary), {0}));
    EXPECT_EQ(testing::same_state(first, second), !tested.traits.needs_token_counts);
  }
}

TEST_P(RouterTraitsContract, NamesARange) {
  for (const auto& tested : make_all()) {
    EXPECT_GE(tested.traits.max_abs_logit, 50) << "half precision needs some room";
    EXPECT_GE(tested.traits.max_top_k, 1);
    EXPECT_TRUE(tested.traits.has_matrix || !tested.traits.has_weight_gradient) << "weights are functions of logits";
    EXPECT_TRUE(!tested.traits.exactly_k || tested.traits.mean_experts == 0);
  }
}

// The published facts about the three rules that look ahead, by name, whatever their traits say.
TEST(RouterCausality, OfExpertChoiceSinkhornAndBaseIsRefutedByATokenInTheFuture) {
  for (const std::string kind : {"expert_choice", "sinkhorn", "base"}) {
    const RouterForm form{kind, ""};
    const TestedRouter tested(form, 4, 1);
    const auto logits = random_tensor({16, 4}, 70);
    bool changes = false;
    for (int64_t trial = 0; trial < 20 && !changes; ++trial) {
      auto other = logits.clone();
      other.narrow(0, 8, 8).copy_(random_tensor({8, 4}, 71 + static_cast<uint64_t>(trial), 2.0));
      const auto before = choices_of(tested.route(tested.with_logits(logits))),
                 after = choices_of(tested.route(tested.with_logits(other)));
      changes = !std::equal(before.begin(), before.begin() + 8, after.begin(),
                            [](const Choice& a, const Choice& b) { return is_same(a, b); });
    }
    EXPECT_TRUE(changes) << kind;
    EXPECT_FALSE(tested.traits.causal_train) << kind;
    EXPECT_EQ(tested.traits.causal_eval, kind != "expert_choice") << kind;
  }
}

std::string name_of(const ::testing::TestParamInfo<RouterForm>& info) { return info.param.name(); }
INSTANTIATE_TEST_SUITE_P(AllRouters, RouterTraitsContract, ::testing::ValuesIn(testing::router_forms()), name_of);

}  // namespace
}  // namespace evenkeel::moe
