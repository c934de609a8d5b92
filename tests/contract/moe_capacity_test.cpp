// What every capacity rule keeps, over random decisions of many shapes and of every router that gives each token its k
// experts. A new rule is in capacity_rules() and thereby here.
#include <algorithm>

#include <ATen/ops/bincount.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/moe_layer.h"
#include "support/router_forms.h"

namespace evenkeel::moe {

void PrintTo(const CapacityConfig& config, std::ostream* out) { *out << to_json(config).dump(); }

namespace {

using testing::random_tensor;
using testing::RouterForm;
using testing::same_bits;
using testing::TestedRouter;

// One form of every router whose drops are a rule's: what competes is the choice that the router made.
std::vector<RouterForm> routers() {
  std::vector<RouterForm> out;
  for (const auto& kind : router_kinds())
    if (TestedRouter({kind.name, ""}, 4, 1).traits.exactly_k)
      out.push_back({kind.name, kind.name == std::string("loss_free") ? "counts = \"after_drops\"" : ""});
  return out;
}
const RouterForm kTopK{"top_k", ""};

struct Made {
  std::shared_ptr<const TestedRouter> router;  // holds the state that the input points to
  RouterInput input;
  RoutingDecision decision;  // before drops
};
struct How {
  Mode mode = Mode::train;
  int64_t n_sequences = 1;
  const RouterForm& form = kTopK;
};
Made made(const at::Tensor& logits, int64_t top_k, const How& how = {}) {
  Made out;
  out.router = std::make_shared<const TestedRouter>(how.form, logits.size(1), top_k);
  out.input = out.router->with_logits(logits, how.mode, how.n_sequences);
  out.decision = out.router->route(out.input);
  return out;
}
int64_t largest_k(const RouterForm& form) { return TestedRouter(form, 4, 1).traits.max_top_k; }
// Column e leans by -e / 2, so that experts differ in load.
at::Tensor leaning_logits(int64_t T, int64_t E, uint64_t seed) {
  auto logits = random_tensor({T, E}, seed);
  for (int64_t e = 0; e < E; ++e) logits.select(1, e).sub_(0.5 * static_cast<double>(e));
  return logits;
}

class CapacityContract : public ::testing::TestWithParam<CapacityConfig> {
 protected:
  // The rule as published, and tight enough to drop at these sizes.
  static std::vector<CapacityConfig> forms() {
    auto tight = GetParam(), grouped = GetParam();
    tight.factor_train = tight.factor_eval = 0.75;
    tight.minimum = 1;
    grouped = tight;
    grouped.group_size = 16;
    return {GetParam(), tight, grouped};
  }
  // Tight, with all tokens of the scope as one group: the groups of flaxformer are too small here to be filled.
  static CapacityConfig tight_rule() {
    auto out = forms()[1];
    out.group_size = 0;
    out.grouping = Grouping::cut;
    return out;
  }
};

// Tokens of the groups of T tokens of one scope, without padding, by the documentation.
int64_t group_size_of(const CapacityConfig& config, int64_t T, int64_t E) {
  if (config.group_size == 0) return T;
  if (config.grouping == Grouping::cut) return config.group_size;
  const int64_t padded = (T + E - 1) / E * E;
  for (int64_t groups = std::max(padded / config.group_size, E);; ++groups)
    if (groups % E == 0 && padded % groups == 0) return padded / groups;
}

struct Load {
  int64_t kept = 0, dropped = 0;
};
// [group][expert]
std::vector<std::vector<Load>> loads_of(const RoutingDecision& decision, int64_t group_size) {
  const int64_t n_groups = (decision.n_tokens + group_size - 1) / std::max<int64_t>(group_size, 1);
  std::vector<std::vector<Load>> out(static_cast<size_t>(n_groups),
                                     std::vector<Load>(static_cast<size_t>(decision.n_experts)));
  for (int64_t a = 0; a < decision.expert_ids.size(0); ++a) {
    auto& load = out[static_cast<size_t>(a / decision.top_k / group_size)]
                    [static_cast<size_t>(decision.expert_ids[a].item<int64_t>())];
    ++(decision.dropped[a].item<bool>() ? load.dropped : load.kept);
  }
  return out;
}

// A decision whose drops have been made, against the limits.
void check_limits(const CapacityConfig& config, Mode mode, const RoutingDecision& decision, const std::string& what) {
  const int64_t T = decision.n_tokens, E = decision.n_experts, K = decision.top_k,
                group_size = group_size_of(config, T, E);
  const auto loads = loads_of(decision, group_size);
  for (size_t group = 0; group < loads.size(); ++group) {
    const int64_t n = config.grouping == Grouping::flaxformer
                          ? group_size
                          : std::min<int64_t>(group_size, T - static_cast<int64_t>(group) * group_size);
    const auto limit = expert_capacity(config, mode, n, {E, K, 0});
    for (const auto& load : loads[group]) {
      EXPECT_LE(load.kept, limit.value_or(T * K)) << what << ", T " << T << ", E " << E << ", k " << K;
      EXPECT_TRUE(load.dropped == 0 || load.kept == limit) << what << ", T " << T << ", E " << E << ", k " << K;
    }
  }
}

TEST_P(CapacityContract, NoExpertKeepsMoreThanItsCapacityAndNothingIsDroppedBelowIt) {
  for (const auto& config : forms())
    for (const auto& form : routers())
      for (const auto& [T, E, K] : {std::tuple{1, 3, 1}, {2, 5, 2}, {40, 4, 1}, {40, 4, 2}, {33, 6, 3}, {9, 3, 3}})
        for (const auto mode : {Mode::train, Mode::eval}) {
          if (K > largest_k(form)) continue;
          auto [router, input, decision] = made(leaning_logits(T, E, 1), K, {mode, 1, form});
          apply_capacity(config, input, decision);
          check_limits(config, mode, decision, form.kind);
        }
}

// The largest score of a token; with sigmoid scores it rises with the logit, squeezed into (0, 1) so that choices stay
// apart.
double best_score(const RoutingDecision& decision, int64_t token) {
  const auto logits = decision.logits[token];
  return decision.score == Score::softmax ? logits.softmax(0).max().item<double>()
                                          : logits.max().sigmoid().item<double>();
}

// What comes first at the expert, smaller first; equal values go to the earlier assignment.
double rank_value(Priority priority, const RoutingDecision& decision, int64_t a) {
  const int64_t token = a / decision.top_k, choice = a % decision.top_k;
  switch (priority) {
    case Priority::position: return static_cast<double>(token);
    case Priority::first_choices: return static_cast<double>(choice);
    case Priority::best_first:
      return static_cast<double>(choice) - (decision.logits.defined()
                                                ? best_score(decision, token)
                                                : decision.weights[token * decision.top_k].item<double>());
    case Priority::probs: return -decision.weights[a].item<double>();
    case Priority::random: return 0;  // any order: checked by the test of uniformity
  }
  throw std::logic_error("a priority without a test");
}

// By the rule's priority no kept assignment of an expert comes after a dropped one. The number of the dropped.
int64_t check_order(Priority priority, const RoutingDecision& before, const at::Tensor& dropped,
                    const std::string& what) {
  int64_t n_dropped = 0;
  for (int64_t expert = 0; expert < before.n_experts; ++expert) {
    std::pair<double, int64_t> last_kept{-1e9, -1}, first_dropped{1e9, 0};
    for (int64_t a = 0; a < dropped.size(0); ++a) {
      if (before.expert_ids[a].item<int64_t>() != expert) continue;
      const std::pair<double, int64_t> rank{rank_value(priority, before, a), a};
      if (dropped[a].item<bool>()) {
        ++n_dropped;
        first_dropped = std::min(first_dropped, rank);
      } else {
        last_kept = std::max(last_kept, rank);
      }
    }
    EXPECT_LT(last_kept, first_dropped) << what << ", expert " << expert << ", k " << before.top_k;
  }
  return n_dropped;
}

TEST_P(CapacityContract, WhatIsKeptComesBeforeWhatIsDropped) {
  if (GetParam().priority == Priority::random) return;
  const auto config = tight_rule();
  for (const auto& form : routers())
    for (const int64_t K : {1, 2, 3}) {
      if (K > largest_k(form)) continue;
      auto [router, input, decision] = made(leaning_logits(40, 4, 2), K, {Mode::train, 1, form});
      const auto before = decision;
      apply_capacity(config, input, decision);
      EXPECT_GT(check_order(config.priority, before, decision.dropped, form.kind), 0) << form.kind;
    }
}

// A later token of the sequence is changed: does a drop before it change?
bool finds_a_dependence_on_the_future(const CapacityConfig& config, int64_t top_k) {
  constexpr int64_t kTokens = 24, kTurns = 40;
  for (int64_t turn = 0; turn < kTurns; ++turn) {
    const auto logits = leaning_logits(kTokens, 3, 100 + static_cast<uint64_t>(turn));
    auto other = logits.clone();
    const int64_t changed = 4 + turn % (kTokens - 4);
    other.narrow(0, changed, kTokens - changed)
        .copy_(random_tensor({kTokens - changed, 3}, 900 + static_cast<uint64_t>(turn), 3.0));
    auto first = made(logits, top_k, {Mode::eval}), second = made(other, top_k, {Mode::eval});
    apply_capacity(config, first.input, first.decision);
    apply_capacity(config, second.input, second.decision);
    if (!same_bits(first.decision.dropped.narrow(0, 0, changed * top_k),
                   second.decision.dropped.narrow(0, 0, changed * top_k)))
      return true;
  }
  return false;
}

TEST_P(CapacityContract, IsCausalExactlyWhereItSaysSo) {
  const auto config = tight_rule();
  for (const int64_t K : {1, 2})
    EXPECT_EQ(finds_a_dependence_on_the_future(config, K), !capacity_traits(config, K).is_causal) << "k " << K;
}

// A part of 8 tokens of 24: the tokens of one are replaced, and the drops of others are looked at.
constexpr int64_t kParts = 3, kPartLength = 8;
enum class Change { another_part, other_tokens_of_the_part };
bool finds_a_dependence(const CapacityConfig& config, int64_t top_k, const How& how, Change change) {
  for (int64_t turn = 0; turn < 40; ++turn) {
    const auto logits = leaning_logits(kParts * kPartLength, kParts, 200 + static_cast<uint64_t>(turn));
    const int64_t seen = turn % kParts,
                  changed = change == Change::another_part ? (seen + 1 + turn / kParts % 2) % kParts : seen;
    const int64_t n_kept = change == Change::another_part
                               ? 0
                               : 1 + turn % (kPartLength - 1);  // of the changed part, at its begin or its end
    const bool keeps_begin = turn % 2 == 0;
    auto other = logits.clone();
    other.narrow(0, changed * kPartLength + (keeps_begin ? n_kept : 0), kPartLength - n_kept)
        .copy_(random_tensor({kPartLength - n_kept, kParts}, 700 + static_cast<uint64_t>(turn), 3.0));
    auto first = made(logits, top_k, how), second = made(other, top_k, how);
    apply_capacity(config, first.input, first.decision);
    apply_capacity(config, second.input, second.decision);
    const int64_t begin =
                      seen * kPartLength + (change == Change::another_part || keeps_begin ? 0 : kPartLength - n_kept),
                  count = change == Change::another_part ? kPartLength : n_kept;
    const auto of = [&](const Made& of_one) { return of_one.decision.dropped.narrow(0, begin * top_k, count * top_k); };
    if (!same_bits(of(first), of(second))) return true;
  }
  return false;
}

TEST_P(CapacityContract, ADropLooksAtItsScopeAndAtAllOfIt) {
  const auto config = tight_rule();
  for (const int64_t K : {1, 2})
    for (const auto mode : {Mode::train, Mode::eval}) {
      const auto traits = capacity_traits(config, K);
      const Scope scope = mode == Mode::train ? traits.train_scope : traits.eval_scope;
      EXPECT_EQ(finds_a_dependence(config, K, {mode, kParts}, Change::other_tokens_of_the_part), scope != Scope::token)
          << "k " << K;
      EXPECT_EQ(finds_a_dependence(config, K, {mode, kParts}, Change::another_part), scope == Scope::micro_batch)
          << "k " << K << ", mode " << static_cast<int>(mode);
    }
}

TEST_P(CapacityContract, ADropLooksAtNoOtherGroup) {
  for (const auto grouping : {Grouping::cut, Grouping::flaxformer}) {  // flaxformer: as many groups as experts
    auto config = tight_rule();
    config.grouping = grouping;
    config.group_size = kPartLength;
    for (const int64_t K : {1, 2}) {
      EXPECT_FALSE(finds_a_dependence(config, K, {}, Change::another_part)) << "k " << K;
      EXPECT_TRUE(finds_a_dependence(config, K, {}, Change::other_tokens_of_the_part)) << "k " << K;
    }
  }
}

// Through a whole layer: what after_step will see.
TEST_P(CapacityContract, ALoadAfterDropsIsWhatIsLeftAndOneBeforeThemIsAll) {
  const ExpertWeights experts{{random_tensor({4, 6, 4}, 8), random_tensor({4, 4, 3}, 9)}, {}, {}};
  for (const std::string counts : {"before_drops", "after_drops"}) {
    const TestedRouter tested({"loss_free", "counts = \"" + counts + "\""}, 4, 2);
    const auto decision =
        moe_layer(*tested.router, tested.with_logits(leaning_logits(40, 4, 10)), experts, tight_rule()).decision;
    ASSERT_TRUE(decision.dropped.any().item<bool>());
    const auto counted = counts == "after_drops" ? decision.expert_ids.masked_select(decision.dropped.logical_not())
                                                 : decision.expert_ids;
    EXPECT_TRUE(same_bits(decision.balance_statistics.narrow(0, 0, 4).to(at::kLong), at::bincount(counted, {}, 4)))
        << counts;
  }
}

TEST_P(CapacityContract, PaddingToTheCapacityChangesRowsButNoResult) {
  const auto gate_up = random_tensor({4, 6, 4}, 5), down = random_tensor({4, 4, 3}, 6),
             logits = leaning_logits(33, 4, 7);
  const auto check = [&](const CapacityConfig& form, const RouterForm& router_form) {
    auto padded = form;
    padded.pad = true;
    const auto run = [&](const CapacityConfig& config, const at::Tensor& x, int64_t& n_rows) {
      auto [router, input, decision] =
          made(x, std::min<int64_t>(2, largest_k(router_form)), {Mode::train, 1, router_form});
      apply_capacity(config, input, decision);
      const auto rows = kept_assignments(config, input, decision);
      n_rows = rows.token_ids.size(0);
      return routed_ffn(x, rows, {gate_up, down});
    };
    int64_t plain_rows = 0, padded_rows = 0;
    const auto gradient = [&](const CapacityConfig& config, int64_t& n_rows) {
      return testing::gradients_of([&](const auto& in) { return run(config, in[0], n_rows).square().sum(); },
                                   {logits})[0];
    };
    // fp64; the order of a product's sums may change with its number of rows.
    testing::expect_close(run(form, logits, plain_rows), run(padded, logits, padded_rows), 1e-12, 1e-13, "outputs");
    testing::expect_close(gradient(form, plain_rows), gradient(padded, padded_rows), 1e-11, 1e-12, "gradients");
    EXPECT_GE(padded_rows, plain_rows);
  };
  for (const auto& form : forms())
    for (const auto& router_form : routers()) check(form, router_form);
}

TEST_P(CapacityContract, TheSameInputGivesTheSameBits) {
  for (const auto& config : forms())
    for (const auto& form : routers()) {
      const int64_t K = std::min<int64_t>(2, largest_k(form));
      auto first = made(leaning_logits(40, 4, 3), K, {Mode::train, 1, form}),
           second = made(leaning_logits(40, 4, 3), K, {Mode::train, 1, form});
      apply_capacity(config, first.input, first.decision);
      apply_capacity(config, second.input, second.decision);
      EXPECT_TRUE(same_bits(first.decision.dropped, second.decision.dropped)) << form.kind;
      EXPECT_TRUE(same_bits(first.decision.weights, second.decision.weights)) << form.kind;
    }
}

TEST_P(CapacityContract, DroppedWeightsAreZeroAndNothingIsDroppedInAnEmptyBatch) {
  for (const auto& config : forms())
    for (const auto& form : routers()) {
      const int64_t K = std::min<int64_t>(2, largest_k(form));
      auto [router, input, decision] = made(leaning_logits(40, 4, 4), K, {Mode::train, 1, form});
      apply_capacity(config, input, decision);
      EXPECT_EQ(decision.weights.masked_select(decision.dropped).abs().sum().item<double>(), 0.0) << form.kind;
      auto empty = made(at::zeros({0, 4}, at::kDouble), K, {Mode::train, 1, form});
      apply_capacity(config, empty.input, empty.decision);
      EXPECT_EQ(empty.decision.dropped.numel(), 0) << form.kind;
    }
}

std::vector<CapacityConfig> all_rules() {
  std::vector<CapacityConfig> out;
  for (const auto& rule : capacity_rules()) out.push_back(rule.config);
  return out;
}
std::string name_of(const ::testing::TestParamInfo<CapacityConfig>& info) {
  std::string name = info.param.rule;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(AllRules, CapacityContract, ::testing::ValuesIn(all_rules()), name_of);

}  // namespace
}  // namespace evenkeel::moe
