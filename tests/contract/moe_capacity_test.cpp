// What every capacity rule keeps, over random decisions of many shapes. A new rule is in capacity_rules() and thereby here.
#include <algorithm>

#include <ATen/ops/eye.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/capacity.h"
#include "ops/gated_ffn.h"
#include "support/gradients.h"

namespace evenkeel::moe {

void PrintTo(const CapacityConfig& config, std::ostream* out) { *out << to_json(config).dump(); }

namespace {

using testing::random_tensor;
using testing::same_bits;

struct Made {
  RouterInput input;
  RoutingDecision decision;  // before drops
};
Made made(const at::Tensor& logits, int64_t top_k, Mode mode = Mode::train) {
  Made out;
  out.input.hidden = logits;
  out.input.weight = at::eye(logits.size(1), logits.options());
  out.input.mode = mode;
  out.input.seed = 77;
  out.decision = make_router({logits.size(1), top_k, 0}, ConfigNode{})->route(out.input);
  return out;
}
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
  std::vector<std::vector<Load>> out(static_cast<size_t>(n_groups), std::vector<Load>(static_cast<size_t>(decision.n_experts)));
  for (int64_t a = 0; a < decision.expert_ids.size(0); ++a) {
    auto& load = out[static_cast<size_t>(a / decision.top_k / group_size)][static_cast<size_t>(decision.expert_ids[a].item<int64_t>())];
    ++(decision.dropped[a].item<bool>() ? load.dropped : load.kept);
  }
  return out;
}

TEST_P(CapacityContract, NoExpertKeepsMoreThanItsCapacityAndNothingIsDroppedBelowIt) {
  for (const auto& config : forms())
    for (const auto& [T, E, K] : {std::tuple{1, 3, 1}, {2, 5, 2}, {40, 4, 1}, {40, 4, 2}, {33, 6, 3}, {9, 3, 3}})
      for (const auto mode : {Mode::train, Mode::eval}) {
        auto [input, decision] = made(leaning_logits(T, E, 1), K, mode);
        apply_capacity(config, input, decision);
        const int64_t group_size = group_size_of(config, T, E);
        const auto loads = loads_of(decision, group_size);
        for (size_t group = 0; group < loads.size(); ++group) {
          const int64_t n = config.grouping == Grouping::flaxformer ? group_size : std::min<int64_t>(group_size, T - static_cast<int64_t>(group) * group_size);
          const auto limit = expert_capacity(config, mode, n, {E, K, 0});
          for (const auto& load : loads[group]) {
            EXPECT_LE(load.kept, limit.value_or(T * K)) << "T " << T << ", E " << E << ", k " << K;
            EXPECT_TRUE(load.dropped == 0 || load.kept == limit) << "T " << T << ", E " << E << ", k " << K;
          }
        }
      }
}

// What comes first at the expert, smaller first; equal values go to the earlier assignment.
double rank_value(Priority priority, const RoutingDecision& decision, int64_t a) {
  const int64_t token = a / decision.top_k, choice = a % decision.top_k;
  switch (priority) {
    case Priority::position: return static_cast<double>(token);
    case Priority::first_choices: return static_cast<double>(choice);
    case Priority::best_first: return static_cast<double>(choice) - decision.logits[token].softmax(0).max().item<double>();
    case Priority::probs: return -decision.weights[a].item<double>();
    case Priority::random: return 0;  // any order: checked by the test of uniformity
  }
  throw std::logic_error("a priority without a test");
}

TEST_P(CapacityContract, WhatIsKeptComesBeforeWhatIsDropped) {
  if (GetParam().priority == Priority::random) return;
  auto config = forms()[1];
  config.group_size = 0;
  config.grouping = Grouping::cut;
  for (const int64_t K : {1, 2, 3}) {
    auto [input, decision] = made(leaning_logits(40, 4, 2), K);
    const auto before = decision;
    apply_capacity(config, input, decision);
    int64_t n_dropped = 0;
    for (int64_t expert = 0; expert < 4; ++expert) {
      std::pair<double, int64_t> last_kept{-1e9, -1}, first_dropped{1e9, 0};
      for (int64_t a = 0; a < 40 * K; ++a) {
        if (before.expert_ids[a].item<int64_t>() != expert) continue;
        const std::pair<double, int64_t> rank{rank_value(config.priority, before, a), a};
        if (decision.dropped[a].item<bool>()) {
          ++n_dropped;
          first_dropped = std::min(first_dropped, rank);
        } else {
          last_kept = std::max(last_kept, rank);
        }
      }
      EXPECT_LT(last_kept, first_dropped) << "expert " << expert << ", k " << K;
    }
    EXPECT_GT(n_dropped, 0);
  }
}

// A later token of the sequence is changed: does a drop before it change?
bool finds_a_dependence_on_the_future(const CapacityConfig& config, int64_t top_k) {
  constexpr int64_t kTokens = 24, kTurns = 40;
  for (int64_t turn = 0; turn < kTurns; ++turn) {
    const auto logits = leaning_logits(kTokens, 3, 100 + static_cast<uint64_t>(turn));
    auto other = logits.clone();
    const int64_t changed = 4 + turn % (kTokens - 4);
    other.narrow(0, changed, kTokens - changed).copy_(random_tensor({kTokens - changed, 3}, 900 + static_cast<uint64_t>(turn), 3.0));
    auto first = made(logits, top_k, Mode::eval), second = made(other, top_k, Mode::eval);
    apply_capacity(config, first.input, first.decision);
    apply_capacity(config, second.input, second.decision);
    if (!same_bits(first.decision.dropped.narrow(0, 0, changed * top_k), second.decision.dropped.narrow(0, 0, changed * top_k))) return true;
  }
  return false;
}

TEST_P(CapacityContract, IsCausalExactlyWhereItSaysSo) {
  auto config = forms()[1];
  config.group_size = 0;
  config.grouping = Grouping::cut;  // the groups of flaxformer are too small here to be filled
  for (const int64_t K : {1, 2}) EXPECT_EQ(finds_a_dependence_on_the_future(config, K), !capacity_traits(config, K).is_causal) << "k " << K;
}

TEST_P(CapacityContract, PaddingToTheCapacityChangesRowsButNoResult) {
  for (const auto& form : forms()) {
    auto padded = form;
    padded.pad = true;
    const auto gate_up = random_tensor({4, 6, 4}, 5), down = random_tensor({4, 4, 3}, 6);
    const auto logits = leaning_logits(33, 4, 7);
    const auto run = [&](const CapacityConfig& config, const at::Tensor& x, int64_t& n_rows) {
      auto [input, decision] = made(x, 2);
      apply_capacity(config, input, decision);
      const auto rows = kept_assignments(config, input, decision);
      n_rows = rows.token_ids.size(0);
      return ops::routed_ffn(x, rows.token_ids, rows.expert_ids, rows.weights, gate_up, down, ops::Activation::swiglu);
    };
    int64_t plain_rows = 0, padded_rows = 0;
    const auto gradient = [&](const CapacityConfig& config, int64_t& n_rows) {
      return testing::gradients_of([&](const auto& in) { return run(config, in[0], n_rows).square().sum(); }, {logits})[0];
    };
    // fp64; the order of a product's sums may change with its number of rows.
    testing::expect_close(run(form, logits, plain_rows), run(padded, logits, padded_rows), 1e-12, 1e-13, "outputs");
    testing::expect_close(gradient(form, plain_rows), gradient(padded, padded_rows), 1e-11, 1e-12, "gradients");
    EXPECT_GE(padded_rows, plain_rows);
  }
}

TEST_P(CapacityContract, TheSameInputGivesTheSameBits) {
  for (const auto& config : forms()) {
    auto first = made(leaning_logits(40, 4, 3), 2), second = made(leaning_logits(40, 4, 3), 2);
    apply_capacity(config, first.input, first.decision);
    apply_capacity(config, second.input, second.decision);
    EXPECT_TRUE(same_bits(first.decision.dropped, second.decision.dropped));
    EXPECT_TRUE(same_bits(first.decision.weights, second.decision.weights));
  }
}

TEST_P(CapacityContract, DroppedWeightsAreZeroAndNothingIsDroppedInAnEmptyBatch) {
  for (const auto& config : forms()) {
    auto [input, decision] = made(leaning_logits(40, 4, 4), 2);
    apply_capacity(config, input, decision);
    EXPECT_EQ(decision.weights.masked_select(decision.dropped).abs().sum().item<double>(), 0.0);
    auto empty = made(at::zeros({0, 4}, at::kDouble), 2);
    apply_capacity(config, empty.input, empty.decision);
    EXPECT_EQ(empty.decision.dropped.numel(), 0);
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
