#include "moe/capacity.h"

#include <set>

#include <ATen/ops/arange.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/gradients.h"

namespace evenkeel::moe {
namespace {

using ::testing::ElementsAre;
using testing::random_tensor;
using testing::same_bits;

RouterInput with_logits(const at::Tensor& logits, Mode mode = Mode::train, int64_t n_sequences = 1) {
  RouterInput input;
  input.hidden = logits;
  input.weight = at::eye(logits.size(1), logits.options());
  input.n_sequences = n_sequences;
  input.mode = mode;
  return input;
}
RoutingDecision routed(const RouterInput& input, int64_t top_k, const CapacityConfig& config,
                       const std::string& router = "") {
  auto decision = make_router({input.hidden.size(1), top_k, 0}, parse_toml(router, "r", ""))->route(input);
  apply_capacity(config, input, decision);
  return decision;
}
std::vector<int64_t> ids(const at::Tensor& tensor) {
  const auto flat = tensor.to(at::kLong).contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}
std::vector<int64_t> dropped_of(const RoutingDecision& decision) { return ids(decision.dropped.nonzero().view({-1})); }
CapacityConfig config_of(const std::string& toml) {
  CapacityConfig out;
  read_value(parse_toml(toml, "c", ""), "model.capacity", out);
  return out;
}
// Four tokens, three experts, k = 2. Choices: 0 1, 1 0, 0 1, 0 2; assignments 0 .. 7 in that order.
at::Tensor four_tokens() {
  return at::tensor({1.0, 0.5, 0.0, 0.5, 1.5, 0.0, 2.0, 0.5, 0.0, 3.0, 0.0, 1.0}, at::kDouble).view({4, 3});
}
// Two assignments an expert, in whatever group.
CapacityConfig two_each(Priority priority) {
  return {.rule = "megatron-position", .factor_train = 1e-3, .factor_eval = 1e-3, .minimum = 2, .priority = priority};
}

void check_against(const Json& want, const testing::Golden& golden, const RoutingDecision& got,
                   const RoutingDecision& dropless) {
  EXPECT_EQ(got.capacity, want.at("capacity").as_int());
  EXPECT_EQ(dropped_of(got), testing::integers_of(want.at("dropped")));
  const auto kept = got.dropped.logical_not().to(got.weights.scalar_type());
  if (const Json* weights = want.find("weights"); weights != nullptr && weights->size() > 0) {
    testing::expect_close(got.weights, testing::tensor_of(*weights), golden.rtol, golden.atol, "weights");
  } else {
    EXPECT_TRUE(same_bits(got.weights, dropless.weights * kept));
  }
}

TEST(Capacity, EveryRuleDropsWhatItsSourceDrops) {
  const auto golden = testing::read_golden("capacity.json");
  for (const auto& item : golden.inputs.at("cases").as_array()) {
    std::string overrides;
    for (const auto& [key, value] : item.at("options").as_object()) overrides += key + " = " + value.dump() + "\n";
    const int64_t E = item.at("n_experts").as_int(), k = item.at("top_k").as_int();
    const auto logits =
        item.at("logits").size() > 0 ? testing::tensor_of(item.at("logits")) : at::zeros({0, E}, at::kDouble);
    for (const auto& [rule, modes] : golden.outputs.at("drops").at(item.at("name").as_string()).as_object())
      for (const auto& [mode, want] : modes.as_object())
        for (const auto dtype : {at::kFloat, at::kDouble}) {
          SCOPED_TRACE(item.at("name").as_string() + " " + rule + " " + mode +
                       (dtype == at::kFloat ? " fp32" : " fp64"));
          auto input = with_logits(logits.to(dtype), mode == "train" ? Mode::train : Mode::eval,
                                   item.at("n_sequences").as_int());
          if (const Json* padding = item.find("is_padding")) input.is_padding = testing::ids_of(*padding).to(at::kBool);
          input.seed = static_cast<uint64_t>(golden.inputs.at("seed").as_int());
          check_against(want, golden, routed(input, k, config_of("rule = \"" + rule + "\"\n" + overrides)),
                        routed(input, k, {}));
        }
  }
}

TEST(Capacity, PrioritiesByHand) {
  const auto dropped_by = [](Priority priority) {
    return dropped_of(routed(with_logits(four_tokens()), 2, two_each(priority)));
  };
  EXPECT_THAT(dropped_by(Priority::position), ElementsAre(4, 5, 6));  // expert 0 takes tokens 0 and 1, expert 1 too
  EXPECT_THAT(dropped_by(Priority::first_choices),
              ElementsAre(3, 5, 6));                                    // expert 0 takes the first choices of 0 and 2
  EXPECT_THAT(dropped_by(Priority::best_first), ElementsAre(0, 1, 3));  // tokens 3, 2, 1, 0
  EXPECT_THAT(dropped_by(Priority::probs), ElementsAre(0, 3, 5));  // expert 0: .84 .74 .51 .23; expert 1: .63 .31 .16
}

TEST(Capacity, ADroplessConfigTouchesNothing) {
  const auto decision = routed(with_logits(four_tokens()), 2, {});
  EXPECT_FALSE(decision.dropped.defined());
  EXPECT_EQ(decision.capacity, 0);
  const auto run = kept_assignments({}, {}, decision);
  EXPECT_TRUE(same_bits(run.expert_ids, decision.expert_ids));
}

TEST(Capacity, RenormalisesBeforeOrAfterTheDrops) {
  auto config = two_each(Priority::first_choices);  // drops 3, 5, 6
  const auto plain = routed(with_logits(four_tokens()), 2, {}).weights;
  const auto sums = plain.view({4, 2}).sum(1);
  config.renormalize = Renormalize::after;
  const auto after = routed(with_logits(four_tokens()), 2, config).weights.view({4, 2});
  EXPECT_NEAR(after.sum().item<double>(), 4.0, 1e-12);  // every token has something left
  EXPECT_NEAR(after[0][0].item<double>(), (plain[0] / sums[0]).item<double>(), 1e-12);
  EXPECT_EQ(after[1][1].item<double>(), 0.0);
  EXPECT_NEAR(after[3][1].item<double>(), 1.0, 1e-12);
  config.renormalize = Renormalize::before;
  const auto before = routed(with_logits(four_tokens()), 2, config).weights.view({4, 2});
  EXPECT_NEAR(before[1][0].item<double>(), (plain[2] / sums[1]).item<double>(), 1e-12);
  EXPECT_NEAR(before[3][1].item<double>(), (plain[7] / sums[3]).item<double>(), 1e-12);
}

TEST(Capacity, ATokenWithNothingLeftKeepsWeightsOfZero) {
  auto config = two_each(Priority::position);
  config.renormalize = Renormalize::after;
  const auto decision = routed(with_logits(at::zeros({4, 3}, at::kDouble)), 2, config);  // experts 0 and 1 for all
  EXPECT_THAT(dropped_of(decision), ElementsAre(4, 5, 6, 7));
  EXPECT_TRUE(same_bits(decision.weights.narrow(0, 4, 4), at::zeros({4}, at::kDouble)));
}

TEST(Capacity, RenormalisingDoesNothingForOneExpertAToken) {
  auto config = two_each(Priority::position);
  const auto plain = routed(with_logits(four_tokens()), 1, config).weights;
  for (const auto how : {Renormalize::before, Renormalize::after}) {
    config.renormalize = how;
    EXPECT_TRUE(same_bits(routed(with_logits(four_tokens()), 1, config).weights, plain));
  }
}

TEST(Capacity, GradientsAreThoseOfTheWeightsThatAreLeft) {
  const auto coefficients = random_tensor({8}, 3);
  for (const auto priority : {Priority::first_choices, Priority::probs, Priority::best_first})
    for (const auto how : {Renormalize::none, Renormalize::before, Renormalize::after}) {
      auto config = two_each(priority);
      config.renormalize = how;
      // Gaps between probabilities are above 0.04: a step of 1e-6 changes no rank.
      testing::expect_gradients(
          [&](const auto& in) { return (routed(with_logits(in[0]), 2, config).weights * coefficients).sum(); },
          {four_tokens()});
    }
}

TEST(Capacity, NothingFlowsBackThroughADroppedWeight) {
  const auto config = two_each(Priority::first_choices);
  const auto gradient = testing::gradients_of(
      [&](const auto& in) {
        return routed(with_logits(in[0]), 2, config).weights.index_select(0, at::tensor({3, 5, 6})).sum();
      },
      {four_tokens()});
  EXPECT_TRUE(same_bits(gradient[0], at::zeros({4, 3}, at::kDouble)));
}

TEST(Capacity, InEvaluationASequenceIsAloneWhateverTheBatch) {
  const auto logits = random_tensor({36, 4}, 5);
  for (const auto& rule : capacity_rules()) {
    auto config = rule.config;
    config.factor_eval = 0.5;
    config.minimum = 1;
    config.group_size = std::min<int64_t>(config.group_size, 8);
    const auto together = routed(with_logits(logits, Mode::eval, 3), 2, config);
    for (int64_t sequence = 0; sequence < 3; ++sequence) {
      const auto alone = routed(with_logits(logits.narrow(0, 12 * sequence, 12), Mode::eval), 2, config);
      EXPECT_TRUE(same_bits(together.dropped.narrow(0, 24 * sequence, 24), alone.dropped)) << config.rule;
      EXPECT_TRUE(same_bits(together.weights.narrow(0, 24 * sequence, 24), alone.weights)) << config.rule;
    }
    EXPECT_GT(together.dropped.sum().item<int64_t>(), 0) << config.rule;
  }
}

TEST(Capacity, PaddingIsAsIfItWereNotThere) {
  const auto logits = random_tensor({24, 4}, 6);
  auto is_padding = at::zeros({24}, at::kBool);
  for (const int64_t t : {0, 7, 8, 20, 21, 22, 23}) is_padding[t].fill_(true);
  const auto real = is_padding.logical_not().nonzero().view({-1});
  for (const auto& rule : capacity_rules()) {
    auto config = rule.config;
    config.factor_train = 0.5;
    config.minimum = 1;
    auto input = with_logits(logits);
    input.is_padding = is_padding;
    const auto padded = routed(input, 2, config), alone = routed(with_logits(logits.index_select(0, real)), 2, config);
    EXPECT_EQ(padded.capacity, alone.capacity) << config.rule;
    EXPECT_TRUE(same_bits(padded.dropped.view({24, 2}).index_select(0, real).view({-1}), alone.dropped)) << config.rule;
    EXPECT_TRUE(padded.dropped.view({24, 2}).index_select(0, is_padding.nonzero().view({-1})).all().item<bool>())
        << config.rule;
  }
}

TEST(Capacity, GroupsAreConsecutiveAndTheLastMayBeShorter) {
  auto config = two_each(Priority::position);
  config.minimum = 1;
  config.group_size = 4;
  const auto decision = routed(with_logits(at::zeros({10, 3}, at::kDouble)), 1, config);  // all to expert 0
  EXPECT_THAT(dropped_of(decision), ElementsAre(1, 2, 3, 5, 6, 7, 9));
}

// Rows of 8 places, of which the last may be padding, in groups of a row or half a row: what is dropped in a row does
// not depend on how many rows a micro-batch has.
TEST(Capacity, BordersOfGroupsLieOnPlacesWhateverIsPadding) {
  const auto logits = random_tensor({24, 4}, 9);
  auto is_padding = at::zeros({24}, at::kBool);
  for (const int64_t t : {5, 6, 7, 14, 15}) is_padding[t].fill_(true);
  for (const auto& rule : capacity_rules()) {
    auto config = rule.config;
    if (config.priority == Priority::random) continue;  // drawn from places in the micro-batch
    config.grouping = Grouping::cut;
    config.factor_train = 0.5;
    config.minimum = 1;
    for (const int64_t group_size : {8, 4}) {
      config.group_size = group_size;
      auto input = with_logits(logits);
      input.is_padding = is_padding;
      const auto together = routed(input, 2, config);
      for (int64_t row = 0; row < 3; ++row) {
        auto alone = with_logits(logits.narrow(0, 8 * row, 8));
        alone.is_padding = is_padding.narrow(0, 8 * row, 8);
        EXPECT_TRUE(same_bits(together.dropped.narrow(0, 16 * row, 16), routed(alone, 2, config).dropped))
            << config.rule << ", group_size " << group_size << ", row " << row;
      }
    }
  }
}

TEST(Capacity, APaddedGroupHasTheCapacityOfItsTokens) {
  CapacityConfig config{.rule = "megatron-position", .group_size = 8};
  auto input = with_logits(at::zeros({16, 2}, at::kDouble));  // all to expert 0
  input.is_padding = at::arange(16).ge(4).logical_and(at::arange(16).lt(8));
  const auto decision = routed(input, 1, config);
  EXPECT_THAT(dropped_of(decision), ElementsAre(2, 3, 4, 5, 6, 7, 12, 13, 14, 15));  // C = 2 of four tokens, 4 of eight
  EXPECT_EQ(decision.capacity, 4);
}

TEST(Capacity, RandomSelectionIsUniformAndFollowsTheSeed) {
  constexpr int kSeeds = 400;
  const auto config = two_each(Priority::random);
  auto input = with_logits(at::zeros({8, 3}, at::kDouble));
  std::vector<int64_t> kept(8, 0);
  for (int seed = 0; seed < kSeeds; ++seed) {
    input.seed = static_cast<uint64_t>(seed);
    const auto decision = routed(input, 1, config);
    EXPECT_EQ(decision.dropped.sum().item<int64_t>(), 6);
    for (const int64_t a : ids(decision.dropped.logical_not().nonzero().view({-1}))) ++kept[static_cast<size_t>(a)];
    EXPECT_TRUE(same_bits(decision.dropped, routed(input, 1, config).dropped));
  }
  for (const int64_t count : kept) EXPECT_NEAR(count, kSeeds / 4, 44);  // 5 standard deviations of a binomial(400, 1/4)
}

// At evaluation the seed is the same for every sequence: the ids of its tokens make the order, so that no place is
// always served first.
TEST(Capacity, RandomSelectionAtEvaluationFavoursNoPlace) {
  constexpr int64_t kSequences = 400;
  const auto config = two_each(Priority::random);
  auto input = with_logits(at::zeros({8 * kSequences, 3}, at::kDouble), Mode::eval, kSequences);
  input.token_ids = at::arange(8 * kSequences, at::kLong);
  std::vector<int64_t> kept(8, 0);
  for (const int64_t a : ids(routed(input, 1, config).dropped.logical_not().nonzero().view({-1})))
    ++kept[static_cast<size_t>(a % 8)];
  for (const int64_t count : kept)
    EXPECT_NEAR(count, kSequences / 4, 44);  // 5 standard deviations of a binomial(400, 1/4)
}

TEST(Capacity, TutelTakesAsManyAsNeededOrAtMostTheLimit) {
  const auto all_to_one = at::tensor({1.0, 0.0}, at::kDouble).expand({6, 2}).contiguous();  // six tokens, expert 0
  auto config = capacity_rule("tutel", "");
  config.factor_train = 0;
  EXPECT_EQ(routed(with_logits(all_to_one), 1, config).capacity, 6);
  EXPECT_THAT(dropped_of(routed(with_logits(all_to_one), 1, config)), ElementsAre());
  config.factor_train = -1;
  EXPECT_EQ(routed(with_logits(all_to_one), 1, config).capacity, 3);
  EXPECT_THAT(dropped_of(routed(with_logits(all_to_one), 1, config)), ElementsAre(3, 4, 5));
  config.factor_train = -10;
  EXPECT_EQ(routed(with_logits(all_to_one), 1, config).capacity, 6);  // not 30
}

TEST(Capacity, BestFirstWithoutLogitsGoesByTheFirstWeight) {
  auto input = with_logits(four_tokens());
  auto decision = make_router({3, 2, 0}, ConfigNode{})->route(input);
  decision.logits = at::Tensor();
  apply_capacity(two_each(Priority::best_first), input, decision);
  EXPECT_THAT(dropped_of(decision), ElementsAre(0, 1, 3));
}

TEST(Capacity, BestFirstWithOtherScoresGoesByTheLargestLogit) {
  const auto input =
      with_logits(at::tensor({2.0, 2.0, 0.0, 2.5, 1.0, 0.0, 2.4, 0.0, 0.0, 1.0, 0.0, 0.0}, at::kDouble).view({4, 3}));
  EXPECT_THAT(dropped_of(routed(input, 1, two_each(Priority::best_first))),
              ElementsAre(0, 3));  // softmax: .47 .79 .85 .58
  EXPECT_THAT(dropped_of(routed(input, 1, two_each(Priority::best_first), "score = \"sigmoid\"")), ElementsAre(0, 3));
}

// ---- what the experts run ----

std::vector<int64_t> rows_per_expert(const Assignments& run, int64_t n_experts) {
  return ids(run.expert_ids.bincount({}, n_experts));
}

TEST(KeptAssignments, AreThoseThatAreLeft) {
  const auto config = two_each(Priority::first_choices);
  const auto input = with_logits(four_tokens());
  const auto decision = routed(input, 2, config);
  const auto run = kept_assignments(config, input, decision);
  EXPECT_THAT(ids(run.token_ids), ElementsAre(0, 0, 1, 2, 3));
  EXPECT_THAT(ids(run.expert_ids), ElementsAre(0, 1, 1, 0, 2));
}

TEST(KeptAssignments, LeaveOutPaddingAlsoWithoutACapacity) {
  auto input = with_logits(four_tokens());
  input.is_padding = at::tensor({0, 1, 0, 1}).to(at::kBool);
  const CapacityConfig dropless;
  const auto run = kept_assignments(dropless, input, routed(input, 2, dropless));
  EXPECT_THAT(ids(run.token_ids), ElementsAre(0, 0, 2, 2));
  EXPECT_THAT(ids(run.expert_ids), ElementsAre(0, 1, 0, 1));
  EXPECT_EQ(run.weights.numel(), 4);
}

TEST(KeptAssignments, PaddingFillsEveryExpertToItsCapacity) {
  auto config = two_each(Priority::first_choices);
  config.pad = true;
  const auto input = with_logits(four_tokens());
  const auto decision = routed(input, 2, config);
  const auto run = kept_assignments(config, input, decision);
  EXPECT_THAT(rows_per_expert(run, 3), ElementsAre(2, 2, 2));
  EXPECT_THAT(ids(run.token_ids), ElementsAre(0, 0, 0, 1, 2, 3));  // token 0 runs expert 2, which it did not choose
  EXPECT_THAT(ids(run.expert_ids), ElementsAre(0, 1, 2, 1, 0, 2));
  EXPECT_EQ(run.weights[2].item<double>(), 0.0);
  EXPECT_EQ(run.weights.scalar_type(), at::kDouble);
}

TEST(KeptAssignments, PaddingKeepsToItsGroupAndTakesNoMoreRowsThanTokens) {
  auto config = two_each(Priority::position);
  config.pad = true;
  config.group_size = 3;
  config.minimum = 5;  // more than the tokens of a group
  auto input = with_logits(random_tensor({7, 3}, 8));
  input.is_padding = at::zeros({7}, at::kBool);
  input.is_padding[1].fill_(true);
  const auto run = kept_assignments(config, input, routed(input, 2, config));
  EXPECT_THAT(rows_per_expert(run, 3), ElementsAre(6, 6, 6));  // groups of 2, 3 and 1 tokens
  EXPECT_FALSE(run.token_ids.eq(1).any().item<bool>());
  EXPECT_TRUE(run.token_ids.diff().ge(0).all().item<bool>());
  const auto pairs = ids(run.token_ids * 3 + run.expert_ids);
  EXPECT_EQ(std::set<int64_t>(pairs.begin(), pairs.end()).size(),
            18u);  // nobody is dropped, and no token runs an expert twice
}

TEST(KeptAssignments, WorkWithoutTokens) {
  for (const auto& rule : capacity_rules())
    for (const bool pad : {false, true}) {
      auto config = rule.config;
      config.pad = pad;
      for (const auto mode : {Mode::train, Mode::eval}) {
        const auto input = with_logits(at::zeros({0, 3}, at::kFloat), mode);
        const auto decision = routed(input, 2, config);
        EXPECT_EQ(decision.dropped.sizes(), (at::IntArrayRef{0}));
        EXPECT_EQ(kept_assignments(config, input, decision).weights.sizes(), (at::IntArrayRef{0}));
      }
    }
}

}  // namespace
}  // namespace evenkeel::moe
