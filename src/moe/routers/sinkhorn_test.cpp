#include "moe/routers/sinkhorn.h"

#include <ATen/ops/eye.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/router.h"
#include "ops/top_k.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::moe {
namespace {

using testing::expect_close;
using ::testing::HasSubstr;

RouterInput with_logits(const at::Tensor& logits) {
  RouterInput input;
  input.hidden = logits;
  input.weight = at::eye(logits.size(1), logits.options());
  return input;
}

std::unique_ptr<Router> sinkhorn(const RouterShape& shape, const std::string& keys = "") {
  return make_router(shape, parse_toml("kind = \"sinkhorn\"\n" + keys, "r", ""));
}

SinkhornPlan plan_of(const std::string& variant, const at::Tensor& logits, double tolerance, int64_t max_iterations) {
  if (variant == "log") return sinkhorn_log(logits, tolerance, max_iterations);
  if (variant == "megatron") return sinkhorn_megatron(logits, tolerance, max_iterations);
  return sinkhorn_neox(logits, tolerance, std::min<int64_t>(3, max_iterations));
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
  expect_close(train.weights, testing::tensor_of(golden.outputs.at("megatron").at("weights")).reshape({-1}), golden.rtol, golden.atol, "weights");
  input.mode = Mode::eval;
  EXPECT_TRUE(testing::same_bits(router->route(input).expert_ids, testing::ids_of(golden.outputs.at("raw_expert_ids")).reshape({-1})));
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
    EXPECT_TRUE(testing::same_bits(ops::top_k_ids(logits + plan.expert_bias, k), testing::ids_of(c.need.at("expert_ids")))) << what;
  }
  if (c.compare == "expert_ids") return;
  EXPECT_EQ(plan.iterations, c.need.at("iterations").as_int()) << what;
  const auto bias = c.variant == "log" ? testing::tensor_of(c.need.at("expert_bias")) : testing::tensor_of(c.need.at("d1")).log();
  expect_close(plan.expert_bias, bias, rtol, std::max(atol, rtol), what);
}

TEST(Sinkhorn, MatchesTheGoldenFile) {
  const auto golden = testing::read_golden("sinkhorn.json");
  for (const auto& golden_case : golden.inputs.at("cases").as_array())
    for (const auto& variant : golden_case.at("variants").as_array()) {
      const std::string name = golden_case.at("name").as_string();
      const GoldenCase c{golden_case, golden.outputs.at(name).at(variant.as_string()), name, variant.as_string(), golden_case.at("compare").as_string()};
      check_case(c, at::kDouble, 1e-9, 1e-10);  // 12 digits are written; up to 200 sweeps
      check_case(c, at::kFloat, golden.rtol, golden.atol);
    }
}

TEST(Sinkhorn, BalancesTheColumnsOfThePlan) {
  const auto logits = testing::random_tensor({512, 16}, 1, 2.0) + testing::random_tensor({16}, 2, 2.0);
  const auto plan = sinkhorn_log(logits, 1e-6, 1000);
  const auto columns = at::softmax(logits + plan.expert_bias, 1).mean(0);
  EXPECT_LT((columns * 16 - 1).abs().max().item<double>(), 1e-5);  // ten times the tolerance of the sweep before
  const auto counts = [&](const at::Tensor& scores) { return at::zeros({16}, at::kDouble).scatter_add(0, ops::top_k_ids(scores, 1).squeeze(1), at::zeros({512}, at::kDouble) + 1); };
  EXPECT_LT(counts(logits + plan.expert_bias).max().item<double>(), 1.5 * 512 / 16);  // spec A.1: 1.03 .. 1.25
  EXPECT_GT(counts(logits).max().item<double>(), 2.0 * 512 / 16);
}

TEST(Sinkhorn, WideAndNarrowFormsAgree) {
  // The spread of 59 stays in the exponential form; one more token at 61 takes the logarithmic one.
  auto logits = testing::random_tensor({64, 4}, 3);
  logits[0][1] = logits[0].max().item<double>() - 59;
  const auto narrow = sinkhorn_log(logits, 1e-10, 500);
  logits[0][1] -= 2;  // moves e^-59 of mass: below every tolerance
  const auto wide = sinkhorn_log(logits, 1e-10, 500);
  EXPECT_EQ(narrow.iterations, wide.iterations);
  expect_close(wide.expert_bias, narrow.expert_bias, 1e-10, 1e-10, "bias");
}

TEST(Sinkhorn, TheNumberOfSweepsIsBounded) {
  const auto logits = testing::random_tensor({32, 4}, 4, 8.0);
  EXPECT_EQ(sinkhorn_log(logits, 1e-300, 7).iterations, 7);
  EXPECT_EQ(sinkhorn_megatron(logits, 1e-300, 7).iterations, 7);
  EXPECT_LE(sinkhorn_neox(logits, 1e-300, 3).iterations, 3);
  EXPECT_EQ(sinkhorn_log(logits * 1e3, 1e-300, 7).iterations, 7);
}

TEST(SinkhornRouter, PaddingTakesNoPartInTheBalance) {
  for (const std::string variant : {"log", "megatron", "neox"}) {
    const auto router = sinkhorn({5, 2}, "variant = \"" + variant + "\"");
    const auto logits = testing::random_tensor({20, 5}, 5), junk = testing::random_tensor({20, 5}, 6, 20.0).clamp(-70, 70);
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

TEST(SinkhornRouter, PublishedFormsRefuseLogitsBeyondTheirRange) {
  const auto logits = at::tensor({81.0, 0.0}).unsqueeze(0);
  EXPECT_NO_THROW(sinkhorn({2, 1})->route(with_logits(logits)));
  for (const std::string variant : {"megatron", "neox"}) {
    const auto message = testing::message_of<NumericsError>([&] { sinkhorn({2, 1}, "variant = \"" + variant + "\"")->route(with_logits(logits)); });
    EXPECT_THAT(message, HasSubstr("layer 0, step 0"));
    EXPECT_THAT(message, HasSubstr("+-80"));
  }
}

TEST(SinkhornRouter, RefusesOptionsOutsideTheirRange) {
  const auto message_for = [](const std::string& keys) { return testing::message_of<ConfigError>([&] { sinkhorn({4, 1}, keys); }); };
  EXPECT_THAT(message_for("variant = \"fast\""), HasSubstr("r:2:1: got model.router.variant = 'fast'; need log, megatron or neox"));
  EXPECT_THAT(message_for("tolerance = 0.0"), HasSubstr("tolerance = 0; need more than 0"));
  EXPECT_THAT(message_for("max_iterations = 0"), HasSubstr("need 1..100000"));
  EXPECT_THAT(message_for("max_iterations = 100001"), HasSubstr("need 1..100000"));
}

}  // namespace
}  // namespace evenkeel::moe
