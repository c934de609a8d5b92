#include "moe/routers/sinkhorn.h"

#include <ATen/ops/bincount.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/balance_loss.h"
#include "moe/router.h"
#include "ops/top_k.h"
#include "support/files.h"
#include "support/router_forms.h"

namespace evenkeel::moe {
namespace {

using testing::expect_close;
using ::testing::HasSubstr;

RouterInput with_logits(const at::Tensor& logits, Mode mode = Mode::train) {
  RouterInput input;
  input.hidden = logits;
  input.weight = at::eye(logits.size(1), logits.options());
  input.mode = mode;
  return input;
}

std::unique_ptr<Router> sinkhorn(const RouterShape& shape, const std::string& keys = "") {
  return make_router(shape, parse_toml("kind = \"sinkhorn\"\n" + keys, "r", ""));
}

SinkhornPlan plan_of(const std::string& variant, const at::Tensor& logits, double tolerance, int64_t max_iterations) {
  if (variant == "log") return sinkhorn_log(logits, tolerance, max_iterations);
  if (variant == "megatron") return sinkhorn_published(logits, kMegatronLoop, tolerance, max_iterations);
  return sinkhorn_published(logits, kNeoxLoop, tolerance, std::min<int64_t>(3, max_iterations));
}

TEST(Sinkhorn, PublishedLoopsMatchThePublishedNumbers) {
  const auto golden = testing::read_golden("sinkhorn_paper.json");
  const auto logits = testing::tensor_of(golden.inputs.at("logits"));
  for (const std::string variant : {"megatron", "neox"}) {
    const auto& need = golden.outputs.at(variant);
    const auto plan = plan_of(variant, logits.to(at::kFloat), 1e-4, 200);
    EXPECT_EQ(plan.iterations, need.at("iterations").as_int());
    expect_close(plan.expert_bias.exp(), testing::tensor_of(need.at("d1")), golden.rtol, golden.atol, variant);
    const auto ids = ops::top_k_ids(logits + plan.expert_bias, 1);
    EXPECT_TRUE(testing::same_bits(ids, testing::ids_of(need.at("expert_ids")))) << variant;
  }
  auto input = with_logits(logits.to(at::kFloat));
  const auto router = sinkhorn({3, 1}, "variant = \"megatron\"");
  const auto train = router->route(input);
  expect_close(train.weights, testing::tensor_of(golden.outputs.at("megatron").at("weights")).reshape({-1}),
               golden.rtol, golden.atol, "weights");
  input.mode = Mode::eval;
  EXPECT_TRUE(testing::same_bits(router->route(input).expert_ids,
                                 testing::ids_of(golden.outputs.at("raw_expert_ids")).reshape({-1})));
}

struct GoldenCase {
  const Json& inputs;
  const Json& need;
  std::string name, variant, compare;
};

void check_case(const GoldenCase& c, at::ScalarType dtype, double rtol, double atol) {
  const auto logits = testing::tensor_of(c.inputs.at("logits")).to(dtype);
  const int64_t max_iterations = c.inputs.at("max_iterations").as_int();
  const auto plan = plan_of(c.variant, logits, c.inputs.at("tolerance").as_double(), max_iterations);
  const std::string what = c.name + " " + c.variant;
  EXPECT_TRUE(ops::all_finite(plan.expert_bias)) << what;
  EXPECT_LE(plan.iterations, max_iterations) << what;
  if (c.compare == "finite") return;
  const int64_t k = c.inputs.at("top_k").as_int();
  if (c.compare != "plan") {
    EXPECT_TRUE(
        testing::same_bits(ops::top_k_ids(logits + plan.expert_bias, k), testing::ids_of(c.need.at("expert_ids"))))
        << what;
  }
  if (c.compare == "expert_ids") return;
  EXPECT_EQ(plan.iterations, c.need.at("iterations").as_int()) << what;
  const auto bias =
      c.variant == "log" ? testing::tensor_of(c.need.at("expert_bias")) : testing::tensor_of(c.need.at("d1")).log();
  expect_close(plan.expert_bias, bias, rtol, std::max(atol, rtol), what);
}

TEST(Sinkhorn, MatchesTheGoldenFile) {
  const auto golden = testing::read_golden("sinkhorn.json");
  for (const auto& golden_case : golden.inputs.at("cases").as_array())
    for (const auto& variant : golden_case.at("variants").as_array()) {
      const std::string name = golden_case.at("name").as_string();
      const GoldenCase c{golden_case, golden.outputs.at(name).at(variant.as_string()), name, variant.as_string(),
                         golden_case.at("compare").as_string()};
      check_case(c, at::kDouble, 1e-9, 1e-10);  // 12 digits are written; up to 200 sweeps
      check_case(c, at::kFloat, golden.rtol, golden.atol);
    }
}

// As make_logits of scripts/golden/sinkhorn_sizes.py draws them: column biases first, then row by row. Exact in fp64.
at::Tensor drawn_logits(const Json& drawn) {
  constexpr double kOne = 1 << 24;
  RngStream rng(static_cast<uint64_t>(drawn.at("seed").as_int()), "sinkhorn sizes");
  const auto draw = [&] {
    int64_t sum = 0;
    for (int i = 0; i < 12; ++i) sum += static_cast<int64_t>(rng.next() >> 40);
    return static_cast<double>(sum) / kOne - 6;
  };
  const int64_t T = drawn.at("T").as_int(), E = drawn.at("E").as_int();
  const double sigma = drawn.at("sigma").as_double();
  std::vector<double> column;
  for (int64_t e = 0; e < E; ++e) column.push_back(drawn.at("column_bias_std").as_double() * draw());
  auto out = at::zeros({T, E}, at::kDouble);
  for (int64_t i = 0; i < T * E; ++i)
    out.mutable_data_ptr<double>()[i] = column[static_cast<size_t>(i % E)] + sigma * draw();
  return out;
}

// Micro-batches of up to 4,096 tokens and 64 experts: how many sweeps each variant makes, and how even a hard top-k is
// after them.
TEST(Sinkhorn, MatchesTheGoldenFileAtRealSizes) {
  const auto golden = testing::read_golden("sinkhorn_sizes.json");
  for (size_t i = 0; i < golden.inputs.at("cases").size(); ++i) {
    const auto& drawn = golden.inputs.at("cases").at(i);
    const auto& need = golden.outputs.at(i);
    const auto logits = drawn_logits(drawn);
    const int64_t k = drawn.at("top_k").as_int(), E = drawn.at("E").as_int();
    const auto loads = [&](const at::Tensor& scores) {
      return at::bincount(ops::top_k_ids(scores, k).reshape({-1}), {}, E);
    };
    const std::string what = drawn.dump();
    EXPECT_TRUE(testing::same_bits(loads(logits), testing::ids_of(need.at("raw").at("tokens_per_expert")))) << what;
    for (const std::string variant : {"log", "megatron", "neox"}) {
      const auto& expected = need.at(variant);
      const auto plan = plan_of(variant, logits, 1e-4, 200);
      EXPECT_EQ(plan.iterations, expected.at("iterations").as_int()) << variant << what;
      expect_close(plan.expert_bias,
                   variant == "log" ? testing::tensor_of(expected.at("expert_bias"))
                                    : testing::tensor_of(expected.at("d1")).log(),
                   golden.rtol, golden.rtol, variant + what);
      EXPECT_TRUE(
          testing::same_bits(loads(logits + plan.expert_bias), testing::ids_of(expected.at("tokens_per_expert"))))
          << variant << what;
      // As training runs it, in fp32: the same sweeps; a token in a thousand may lie between two experts.
      const auto floats = plan_of(variant, logits.to(at::kFloat), 1e-4, 200);
      EXPECT_EQ(floats.iterations, expected.at("iterations").as_int()) << variant << what;
      const auto moved =
          (loads(logits.to(at::kFloat) + floats.expert_bias) - testing::ids_of(expected.at("tokens_per_expert")))
              .abs()
              .sum()
              .item<int64_t>();
      EXPECT_LE(moved, logits.size(0) / 500) << variant << what;
    }
  }
}

TEST(Sinkhorn, BalancesTheColumnsOfThePlan) {
  const auto logits = testing::random_tensor({512, 16}, 1, 2.0) + testing::random_tensor({16}, 2, 2.0);
  const auto plan = sinkhorn_log(logits, 1e-6, 1000);
  const auto columns = at::softmax(logits + plan.expert_bias, 1).mean(0);
  EXPECT_LT((columns * 16 - 1).abs().max().item<double>(), 1e-5);  // ten times the tolerance of the sweep before
  const auto counts = [&](const at::Tensor& scores) {
    return at::zeros({16}, at::kDouble)
        .scatter_add(0, ops::top_k_ids(scores, 1).squeeze(1), at::zeros({512}, at::kDouble) + 1);
  };
  EXPECT_LT(counts(logits + plan.expert_bias).max().item<double>(),
            1.25 * 512 / 16);  // sinkhorn_sizes.json: 1.16 at most from 2,048 tokens on
  EXPECT_GT(counts(logits).max().item<double>(), 2.0 * 512 / 16);
}

// A logit 59 below its row's best stays with floats, one at 61 goes to doubles, one at 301 to logarithms. What is moved
// between them is e^-59 of mass or less: below every tolerance.
TEST(Sinkhorn, ItsThreeWidthsAgree) {
  auto logits = testing::random_tensor({64, 4}, 3);
  const auto plan_at = [&](double spread, at::ScalarType dtype, double tolerance) {
    logits[0][1] = logits[0].max().item<double>() - spread;
    return sinkhorn_log(logits.to(dtype), tolerance, 500);
  };
  const auto doubles = plan_at(61, at::kDouble, 1e-10), logarithms = plan_at(301, at::kDouble, 1e-10);
  EXPECT_EQ(doubles.iterations, logarithms.iterations);
  expect_close(doubles.expert_bias, logarithms.expert_bias, 1e-10, 1e-10, "doubles");
  const auto floats = plan_at(59, at::kFloat, 1e-4), wide_floats = plan_at(61, at::kFloat, 1e-4);
  EXPECT_EQ(floats.expert_bias.scalar_type(), at::kFloat);
  EXPECT_EQ(wide_floats.expert_bias.scalar_type(), at::kDouble);
  EXPECT_EQ(floats.iterations, wide_floats.iterations);
  expect_close(floats.expert_bias, wide_floats.expert_bias, 1e-5, 1e-5, "floats");
}

// Every column sum of exp(l) is T e^80: beyond fp32 from 6,142 tokens on.
TEST(Sinkhorn, PublishedLoopsHoldAtTheEdgeOfTheirRange) {
  const auto logits = at::cat({at::full({8000, 2}, 80.0f), at::full({8000, 1}, -80.0f)}, 1);
  for (const auto loop : {kMegatronLoop, kNeoxLoop}) {
    const auto plan = sinkhorn_published(logits, loop, 1e-4, 3);
    EXPECT_TRUE(ops::all_finite(plan.expert_bias));
    expect_close(plan.expert_bias[0], plan.expert_bias[1], 0, 0, "equal columns");
  }
}

TEST(Sinkhorn, TheNumberOfSweepsIsBounded) {
  const auto logits = testing::random_tensor({32, 4}, 4, 8.0);
  EXPECT_EQ(sinkhorn_log(logits, 1e-300, 7).iterations, 7);
  EXPECT_EQ(sinkhorn_published(logits, kMegatronLoop, 1e-300, 7).iterations, 7);
  EXPECT_LE(sinkhorn_published(logits, kNeoxLoop, 1e-300, 3).iterations, 3);
  EXPECT_EQ(sinkhorn_log(logits * 1e3, 1e-300, 7).iterations, 7);
}

// One expert a token: weights are sigmoids, and so are the scores that a balance loss takes its probabilities from. Two
// tokens of sigmoids 3/4 and 1/2, a plan that gives each expert one: plain counts (2, 0), p = (3/5, 2/5). The plan of
// one token is even, to the bit: equal scores go to the lower experts.
TEST(SinkhornRouter, OneTokenIsATie) {
  const auto logits = testing::random_tensor({40, 8}, 3);
  for (const std::string variant : {"log", "megatron", "neox"})
    for (int64_t t = 0; t < 40; ++t) {
      const auto decision =
          sinkhorn({8, 2}, "variant = \"" + variant + "\"")->route(with_logits(logits.narrow(0, t, 1)));
      EXPECT_TRUE(testing::same_bits(decision.expert_ids, at::tensor({0, 1}).to(at::kLong))) << variant << t;
    }
}

TEST(SinkhornRouter, SaysThatTopOneScoresAreSigmoids) {
  const auto logits = at::tensor({std::log(3.0), 0.0, std::log(3.0), 0.0}, at::kDouble).view({2, 2});
  for (const auto mode : {Mode::train, Mode::eval}) {
    auto input = with_logits(logits);
    input.mode = mode;
    const auto one = sinkhorn({2, 1})->route(input);
    EXPECT_EQ(one.score, Score::sigmoid);
    EXPECT_NEAR(balance_loss({.loss = "switch"}, {{one}}).item<double>(), 2 * 0.6, 1e-12);
    EXPECT_EQ(sinkhorn({2, 2})->route(input).score, Score::softmax);
  }
}

TEST(SinkhornRouter, PaddingTakesNoPartInTheBalance) {
  for (const std::string variant : {"log", "megatron", "neox"}) {
    const auto router = sinkhorn({5, 2}, "variant = \"" + variant + "\"");
    const auto logits = testing::random_tensor({20, 5}, 5),
               junk = testing::random_tensor({20, 5}, 6, 20.0).clamp(-70, 70);
    auto alone = with_logits(logits.narrow(0, 0, 12));
    const auto need = router->route(alone);
    auto padded = logits.clone();
    padded.narrow(0, 12, 8).copy_(junk.narrow(0, 0, 8));
    auto input = with_logits(padded);
    input.is_padding = at::zeros({20}, at::kBool);
    input.is_padding.narrow(0, 12, 8).fill_(true);
    const auto got = router->route(input);
    EXPECT_TRUE(testing::same_bits(got.expert_ids.narrow(0, 0, 24), need.expert_ids)) << variant;
    input.is_padding.fill_(true);  // nothing left to balance: plain top-k
    const auto all_padding = router->route(input);
    input.mode = Mode::eval;
    EXPECT_TRUE(testing::same_bits(all_padding.expert_ids, router->route(input).expert_ids));
  }
}

at::Tensor loads_of(const RoutingDecision& decision) {
  return at::zeros({decision.n_experts}, at::kDouble)
      .scatter_add(0, decision.expert_ids, at::zeros(decision.expert_ids.sizes(), at::kDouble) + 1);
}

TEST(SinkhornRouter, BalancesEachSequenceAtEvaluationWhereAsked) {
  const auto logits = testing::leaning_logits(96, 6, 7, 1.5);
  const testing::TestedRouter plain({"sinkhorn", ""}, 6, 2), balanced({"sinkhorn", "at_eval = true"}, 6, 2);
  const auto whole = balanced.route(balanced.with_logits(logits, Mode::eval, 3));
  EXPECT_FALSE(whole.plan.defined());
  std::vector<at::Tensor> parts;
  for (int64_t i = 0; i < 3; ++i) {
    const auto sequence = logits.narrow(0, 32 * i, 32);
    const auto alone = balanced.route(balanced.with_logits(sequence, Mode::eval));
    parts.push_back(alone.expert_ids);
    EXPECT_LT(loads_of(alone).max().item<double>(), 1.6 * 64 / 6);  // a hard top-k of a balanced plan of 32 tokens
    EXPECT_TRUE(testing::same_bits(alone.expert_ids, balanced.route(balanced.with_logits(sequence)).expert_ids))
        << "the plan of training";
    EXPECT_GT(loads_of(plain.route(plain.with_logits(sequence, Mode::eval))).max().item<double>(), 2.0 * 64 / 6);
  }
  EXPECT_TRUE(testing::same_bits(whole.expert_ids, at::cat(parts))) << "depends on the batch";
  EXPECT_EQ(balanced.traits.eval_scope, Scope::sequence);
  EXPECT_FALSE(balanced.traits.causal_eval);
  EXPECT_EQ(plain.traits.eval_scope, Scope::token);
  EXPECT_TRUE(plain.traits.causal_eval);
  EXPECT_FALSE(plain.traits.causal_train);
}

TEST(SinkhornRouter, APaddedSequenceIsBalancedWithoutItsPadding) {
  const testing::TestedRouter router({"sinkhorn", "at_eval = true"}, 4, 1);
  const auto logits = testing::leaning_logits(20, 4, 8);
  auto input = router.with_logits(logits, Mode::eval, 2);
  input.is_padding = at::zeros({20}, at::kBool);
  input.is_padding.narrow(0, 16, 4).fill_(true);
  const auto need = router.route(router.with_logits(logits.narrow(0, 10, 6), Mode::eval)).expert_ids;
  EXPECT_TRUE(testing::same_bits(router.route(input).expert_ids.narrow(0, 10, 6), need));
}

// The plan of a step, handed to a part of it, makes the part choose as in the whole.
TEST(SinkhornRouter, TakesThePlanOfTheStep) {
  const testing::TestedRouter router({"sinkhorn", "scope = \"step\""}, 6, 2);
  EXPECT_EQ(router.traits.train_scope, Scope::step);
  const auto logits = testing::leaning_logits(64, 6, 9, 1.5);
  const auto whole = router.route(router.with_logits(logits));
  ASSERT_TRUE(whole.plan.defined());
  auto part = router.with_logits(logits.narrow(0, 16, 16));
  EXPECT_FALSE(testing::same_bits(router.route(part).expert_ids, whole.expert_ids.narrow(0, 32, 32)))
      << "the test sees nothing";
  part.step_plan = whole.plan;
  const auto planned = router.route(part);
  EXPECT_TRUE(testing::same_bits(planned.expert_ids, whole.expert_ids.narrow(0, 32, 32)));
  EXPECT_TRUE(testing::same_bits(planned.plan, whole.plan));
  part.mode = Mode::eval;
  EXPECT_TRUE(testing::same_bits(router.route(part).expert_ids, ops::top_k_ids(part.hidden, 2).reshape({-1})))
      << "a plan is for training";
}

// The plan is one of the noisy logits, and what the noise is on follows jitter_target; evaluation is still unless
// asked.
TEST(SinkhornRouter, BalancesTheLogitsWithTheirJitter) {
  const auto hidden = testing::random_tensor({64, 6}, 11), weight = testing::random_tensor({5, 6}, 12);
  const testing::TestedRouter plain({"sinkhorn", ""}, 5, 2), noisy({"sinkhorn", "jitter = 0.3"}, 5, 2),
      seen({"sinkhorn", "jitter = 0.3\njitter_target = \"hidden\""}, 5, 2);
  const auto still = plain.route(plain.input(hidden, weight)), moved = noisy.route(noisy.input(hidden, weight)),
             changed = seen.route(seen.input(hidden, weight));
  EXPECT_FALSE(testing::same_bits(moved.logits, still.logits));
  EXPECT_FALSE(moved.expert_input.defined());
  expect_close(moved.plan, sinkhorn_log(moved.logits, 1e-4, 200).expert_bias, 0, 0, "plan");
  ASSERT_TRUE(changed.expert_input.defined());
  const auto ratio = changed.expert_input / hidden;
  EXPECT_GE(ratio.min().item<double>(), 0.7);
  EXPECT_LE(ratio.max().item<double>(), 1.3);
  expect_close(changed.logits, at::linear(changed.expert_input, weight), 1e-12, 1e-12, "logits");
  EXPECT_TRUE(testing::same_bits(noisy.route(noisy.input(hidden, weight, Mode::eval)).logits, still.logits));
  const testing::TestedRouter always({"sinkhorn", "jitter = 0.3\njitter_at_eval = true"}, 5, 2);
  EXPECT_FALSE(testing::same_bits(always.route(always.input(hidden, weight, Mode::eval)).logits, still.logits));
  EXPECT_EQ(always.traits.eval_scope, Scope::sequence);
}

TEST(SinkhornRouter, PublishedFormsRefuseLogitsBeyondTheirRange) {
  const auto logits = at::tensor({81.0, 0.0}).unsqueeze(0);
  EXPECT_NO_THROW(sinkhorn({2, 1})->route(with_logits(logits)));
  for (const std::string variant : {"megatron", "neox"}) {
    const auto message = testing::message_of<NumericsError>([&] {
      sinkhorn({2, 1}, "variant = \"" + variant + "\"")->route(with_logits(logits));
    });
    EXPECT_THAT(message, HasSubstr("layer 0, step 0"));
    EXPECT_THAT(message, HasSubstr("+-80"));
    // Plain top-k takes no exponential of the plan; a plan at evaluation does.
    EXPECT_NO_THROW(sinkhorn({2, 1}, "variant = \"" + variant + "\"")->route(with_logits(logits, Mode::eval)));
    EXPECT_THROW(
        sinkhorn({2, 1}, "variant = \"" + variant + "\"\nat_eval = true")->route(with_logits(logits, Mode::eval)),
        NumericsError);
  }
}

TEST(SinkhornRouter, RefusesOptionsOutsideTheirRange) {
  const auto message_for = [](const std::string& keys) {
    return testing::message_of<ConfigError>([&] { sinkhorn({4, 1}, keys); });
  };
  EXPECT_THAT(message_for("variant = \"fast\""),
              HasSubstr("r:2:1: got model.router.variant = 'fast'; need one of: log, megatron, neox"));
  EXPECT_THAT(message_for("tolerance = 0.0"), HasSubstr("tolerance = 0; need more than 0"));
  EXPECT_THAT(message_for("max_iterations = 0"), HasSubstr("need 1..100000"));
  EXPECT_THAT(message_for("max_iterations = 100001"), HasSubstr("need 1..100000"));
  EXPECT_THAT(message_for("scope = \"token\""),
              HasSubstr("r:2:1: got model.router.scope = 'token'; need one of: micro_batch, step"));
  EXPECT_THAT(message_for("at_eval = 1"), HasSubstr("at_eval"));
  EXPECT_THAT(message_for("jitter = 2.0"), HasSubstr("r:2:1: got model.router.jitter = 2; need 0..1"));
  EXPECT_THAT(message_for("scope = \"step\"\njitter = 0.1"),
              HasSubstr("r:2:1: got model.router.scope = 'step' with a jitter; need micro_batch"));
  EXPECT_THAT(message_for("variant = \"neox\"\njitter = 0.1\njitter_target = \"logits\""),
              HasSubstr("r:4:1: got model.router.jitter_target = 'logits'; need router_input or hidden"));
}

}  // namespace
}  // namespace evenkeel::moe
