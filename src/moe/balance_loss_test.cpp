#include "moe/balance_loss.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/decisions.h"
#include "support/files.h"
#include "support/gradients.h"
#include "support/router_forms.h"

namespace evenkeel::moe {
namespace {

using testing::expect_close;
using ::testing::HasSubstr;
using testing::plain_decision;

// No coefficient: losses are compared unscaled.
BalanceTerm term_of(const std::string& loss, std::optional<Counts> counts = {}, int64_t group_size = 0) {
  return {.loss = loss, .counts = counts, .group_size = group_size};
}
double value_of(const BalanceTerm& term, const std::vector<RoutingDecision>& decisions) {
  return balance_loss(term, {decisions}).item<double>();
}
double value_of(const std::string& loss, const std::vector<RoutingDecision>& decisions) {
  return value_of(term_of(loss), decisions);
}

// ---- by hand ----

// Two tokens, two experts, p = (3/4, 1/4) for both: n = (2, 0), P = (3/4, 1/4), so E / (k T) * sum n P = 2 / 2 * 2 *
// 3/4.
TEST(BalanceLoss, IsTheNumberDoneByHand) {
  const auto logits = at::tensor({std::log(3.0), 0.0, std::log(3.0), 0.0}).view({2, 2});
  for (const auto& kind : balance_loss_kinds())
    EXPECT_NEAR(kind.compute({plain_decision(logits, 1)}).item<double>(), 1.5, 1e-6) << kind.name;
}

TEST(BalanceLoss, IsEOverKWhenKExpertsTakeAll) {
  auto logits = at::zeros({5, 4}, at::kDouble);
  logits.narrow(1, 0, 2).fill_(100.0);
  logits.narrow(1, 0, 1).fill_(101.0);  // first choices: one expert of four
  const double p = 1 / (1 + std::exp(-1.0));
  const auto decision = plain_decision(logits, 2);
  EXPECT_NEAR(value_of("switch", {decision}), 2.0, 1e-12);
  EXPECT_NEAR(value_of("hf", {decision}), 4.0, 1e-12);
  EXPECT_NEAR(value_of("tutel", {decision}), 4.0 * p, 1e-12);
}

// Two sequences, each served by an expert of its own: balanced as a batch, collapsed as sequences.
TEST(BalanceLoss, SequencesAreBalancedOneByOne) {
  const auto logits = at::tensor({50.0, 0.0, 50.0, 0.0, 0.0, 50.0, 0.0, 50.0}, at::kDouble).view({4, 2});
  const auto decision = plain_decision(logits, 1, /*n_sequences=*/2);
  for (const char* loss : {"switch", "megatron", "olmo", "deepseek_batch", "hf"})
    EXPECT_NEAR(value_of(loss, {decision}), 1.0, 1e-12) << loss;
  for (const char* loss : {"megatron_sequence", "olmo_instance", "deepseek_sequence"})
    EXPECT_NEAR(value_of(loss, {decision}), 2.0, 1e-12) << loss;
  EXPECT_NEAR(value_of(term_of("flaxformer", {}, 2), {decision}), 2.0, 1e-12);
  EXPECT_NEAR(value_of(term_of("gshard", {}, 2), {decision}), 2.0, 1e-12);
  EXPECT_NEAR(value_of(term_of("gshard", {}, 3), {decision}), (3 * 10.0 / 9 + 2.0) / 4,
              1e-12);  // groups of 3 tokens, 2 of them for one expert, and of 1
  EXPECT_NEAR(value_of(term_of("gshard", {}, 4), {decision}), 1.0, 1e-12);
}

// The same imbalance turned round in the other layer: it cancels only where the layers are joined before the product.
TEST(BalanceLoss, OnlyHfLetsLayersCancel) {
  const auto one = at::tensor({50.0, 0.0, 50.0, 0.0}, at::kDouble).view({2, 2}), other = one.flip({1});
  const std::vector<RoutingDecision> layers = {plain_decision(one, 1), plain_decision(other, 1)};
  EXPECT_NEAR(value_of("hf", layers), 1.0, 1e-12);
  EXPECT_NEAR(value_of("switch", layers), 4.0, 1e-12);      // 2 a layer
  EXPECT_NEAR(value_of("megablocks", layers), 2.0, 1e-12);  // their mean
}

// The router sends both tokens to expert 1, which is nobody's largest logit, and capacity drops one of them.
TEST(BalanceLoss, CountsWhatItsNameSays) {
  auto decision = plain_decision(at::tensor({std::log(3.0), 0.0, std::log(3.0), 0.0}, at::kDouble).view({2, 2}), 1);
  decision.expert_ids = at::tensor({1, 1}, at::kLong);
  decision.dropped = at::tensor({0, 1}, at::kLong).to(at::kBool);
  EXPECT_NEAR(value_of(term_of("switch"), {decision}), 1.5, 1e-12);                  // n = (2, 0)
  EXPECT_NEAR(value_of(term_of("switch", Counts::actual), {decision}), 0.5, 1e-12);  // n = (0, 2): 2 / 2 * 2 / 4
  EXPECT_NEAR(value_of(term_of("switch", Counts::kept), {decision}), 0.25, 1e-12);   // n = (0, 1)
  EXPECT_NEAR(value_of("megablocks", {decision}), 0.5, 1e-12);
  EXPECT_NEAR(value_of("megatron", {decision}), 1.5, 1e-12);
  decision.dropped = at::Tensor();
  EXPECT_NEAR(value_of(term_of("switch", Counts::kept), {decision}), 0.5, 1e-12);  // dropless
}

// Sigmoids 3/4 and 1/2, so p = (3/5, 2/5); a bias of 1/2 turns both tokens to expert 1. DeepSeek-V3 (2412.19437 eq. 18)
// counts the choices without it, which expert 0 has; DeepSeek-V2's gate counts the router's.
TEST(BalanceLoss, OfDeepSeekV3CountsWithoutTheBias) {
  testing::TestedRouter router({"loss_free", ""}, 2, 1);
  router.state.at("bias").copy_(at::tensor({0.0, 0.5}));
  const auto decision =
      router.route(router.with_logits(at::tensor({std::log(3.0), 0.0, std::log(3.0), 0.0}, at::kDouble).view({2, 2})));
  EXPECT_NEAR(value_of("deepseek_sequence", {decision}), 2 * 0.4, 1e-12);
  EXPECT_NEAR(value_of(term_of("deepseek_sequence", Counts::plain), {decision}), 2 * 0.6, 1e-12);
}

TEST(BalanceLoss, FollowsTheScoreOfTheRouter) {
  auto decision = plain_decision(at::tensor({0.0, -std::log(3.0)}, at::kDouble).view({1, 2}), 1);  // sigmoid: 1/2, 1/4
  decision.score = Score::sigmoid;
  EXPECT_NEAR(value_of("switch", {decision}), 2 * 2.0 / 3, 1e-12);
  decision.logits = at::tensor({std::log(std::exp(4.0) - 1), std::log(std::exp(1.0) - 1)}, at::kDouble)
                        .view({1, 2});  // softplus 4 and 1
  decision.score = Score::sqrtsoftplus;
  EXPECT_NEAR(value_of("switch", {decision}), 2 * 2.0 / 3, 1e-12);
}

// Where all scores are tiny it shows that OLMo-core adds 1e-7 to each: (1 + 2, 1 + 1) / 5 and not (2, 1) / 3.
TEST(BalanceLoss, PutsAFloorUnderScoresWhereItsSourceDoes) {
  auto decision = plain_decision(at::tensor({std::log(2e-7), std::log(1e-7)}, at::kDouble).view({1, 2}), 1);
  decision.score = Score::sigmoid;
  for (const auto& kind : balance_loss_kinds()) {
    const bool is_olmo = std::string(kind.name).starts_with("olmo");
    EXPECT_NEAR(kind.compute({decision}).item<double>(), 2 * (is_olmo ? 3.0 / 5 : 2.0 / 3), 1e-6) << kind.name;
  }
  decision.logits = at::tensor({std::log(1e-20), std::log(1e-20)}, at::kDouble).view({1, 2});
  EXPECT_NEAR(value_of("megatron", {decision}), 2.0 / 3, 1e-12);  // 1e-20 / (1e-20 + 1e-20 + the guard)
}

// Expert choice with two tokens and k = 1: expert 0 takes both, expert 1 one. Three assignments, divided by k T = 2 all
// the same.
TEST(BalanceLoss, DividesByKAlsoWhereTokensDoNotGetK) {
  auto decision = plain_decision(at::zeros({2, 2}, at::kDouble), 1);
  decision.token_ids = at::tensor({0, 0, 1}, at::kLong);
  decision.expert_ids = at::tensor({0, 1, 0}, at::kLong);
  EXPECT_NEAR(value_of("deepseek_batch", {decision}), 1.5, 1e-12);
  EXPECT_NEAR(value_of("deepseek_batch", {[&] {
                         decision.is_padding = at::tensor({1, 0}, at::kLong).to(at::kBool);
                         return decision;
                       }()}),
              1.0, 1e-12);
}

TEST(BalanceLoss, ALayerWithoutLogitsAddsNothing) {
  auto hash = plain_decision(at::zeros({3, 2}), 1);
  hash.logits = at::Tensor();
  for (const auto& kind : balance_loss_kinds()) {
    const auto value = kind.compute({hash, hash});
    EXPECT_EQ(value.item<double>(), 0.0) << kind.name;
    EXPECT_FALSE(value.requires_grad());
    EXPECT_EQ(count_load(term_of(kind.name), {hash}).at(0).n_tokens.item<double>(), 3);
  }
  EXPECT_EQ(z_loss({hash}, false).item<double>(), 0.0);
}

TEST(ZLoss, IsTheSquareOfLogEWhenLogitsAreZero) {
  const auto layer = plain_decision(at::zeros({3, 4}, at::kDouble), 1);
  const double one = std::log(4.0) * std::log(4.0);
  EXPECT_NEAR(z_loss({layer, layer}, false).item<double>(), 2 * one, 1e-14);
  EXPECT_NEAR(z_loss({layer, layer}, true).item<double>(), one, 1e-14);
  EXPECT_NEAR(z_loss({plain_decision(at::zeros({2, 4}) + 1e4, 1)}, false).item<double>(), 1e8,
              1e5);  // (1e4 + log 4)^2 in fp32
}

TEST(ZLoss, GradientIsTheFiniteDifferenceAlsoWithPadding) {
  const auto is_padding = at::tensor({0, 1, 0}, at::kLong).to(at::kBool);
  for (const bool mean : {false, true})
    testing::expect_gradients(
        [&](const auto& in) {
          return z_loss({plain_decision(in[0], 1), plain_decision(in[1], 1, 1, is_padding)}, mean);
        },
        {testing::random_tensor({3, 4}, 1), testing::random_tensor({3, 4}, 2)});
}

// ---- the counts of a step ----

StepLoad load_of(const std::vector<int64_t>& assignments, int64_t n_tokens) {
  return {{at::tensor(assignments, at::kLong), at::full({}, static_cast<double>(n_tokens), at::kDouble)}};
}

// f = (1, 7) / 8 from the step, P = (3/4, 1/4) from the micro-batch.
TEST(BalanceLoss, OfAStepTakesTheCountsHandedIn) {
  const auto logits = at::tensor({std::log(3.0), 0.0, std::log(3.0), 0.0}, at::kDouble).view({2, 2});
  const std::vector<RoutingDecision> decisions = {plain_decision(logits, 1)};
  const auto load = load_of({1, 7}, 8);
  EXPECT_NEAR(balance_loss(term_of("megatron_global"), {decisions, &load}).item<double>(),
              2 * (1.0 / 8 * 0.75 + 7.0 / 8 * 0.25), 1e-12);
  EXPECT_NEAR(balance_loss(term_of("megatron"), {decisions, &load}).item<double>(), 1.5, 1e-12);  // not of its scope
}

TEST(StepLoad, AddsUpByLayer) {
  const auto first = plain_decision(at::tensor({1.0, 0.0, 0.0, 1.0}).view({2, 2}), 1),
             second = plain_decision(at::tensor({1.0, 0.0}).view({1, 2}), 2);
  StepLoad total;
  add_load(total, count_load(term_of("megatron_global"), {first, first}));
  const StepLoad before = total;
  add_load(total, count_load(term_of("megatron_global"), {second, first}));
  ASSERT_EQ(total.size(), 2u);
  EXPECT_TRUE(at::equal(total[0].assignments, at::tensor({2, 2}, at::kLong)));
  EXPECT_EQ(total[0].n_tokens.item<double>(), 3);
  EXPECT_TRUE(at::equal(total[1].assignments, at::tensor({2, 2}, at::kLong)));
  EXPECT_EQ(total[1].n_tokens.item<double>(), 4);
  EXPECT_TRUE(at::equal(before[0].assignments, at::tensor({1, 1}, at::kLong)));  // a value: adding to a copy leaves it
  EXPECT_THROW(add_load(total, count_load(term_of("megatron_global"), {first})), std::logic_error);
}

TEST(BalanceLoss, OfAnUnknownNameIsAMistakeOfTheProgram) { EXPECT_THROW(kind_of(term_of("magic")), std::logic_error); }

// ---- golden files ----

TEST(BalanceLoss, MatchesThePublishedNumbers) {
  const auto golden = testing::read_golden("balance_table_paper.json");
  const auto logits = testing::tensor_of(golden.inputs.at("logits"));
  for (const int64_t k : {1, 2}) {
    const auto& need = golden.outputs.at("k" + std::to_string(k));
    EXPECT_EQ(need.size(), balance_loss_kinds().size());
    for (const auto& kind : balance_loss_kinds())
      expect_close(kind.compute({plain_decision(logits, k)}).item<double>(), need.at(kind.name).as_double(),
                   golden.rtol, golden.atol, kind.name);
  }
  const auto z = testing::read_golden("balance_losses_paper.json");
  expect_close(z_loss({plain_decision(logits, 1)}, false).item<double>(), z.outputs.at("z").as_double(), z.rtol, z.atol,
               "z");
}

std::vector<at::Tensor> tensors_of(const Json& json, at::ScalarType dtype) {
  std::vector<at::Tensor> out;
  for (const auto& item : json.as_array()) out.push_back(testing::tensor_of(item).to(dtype));
  return out;
}

// Older file: one micro-batch, three layers, choices that are plain.
TEST(BalanceLoss, MatchesTheFirstGoldenFile) {
  const auto golden = testing::read_golden("balance_losses.json");
  const int64_t k = golden.inputs.at("top_k").as_int(), S = golden.inputs.at("sequence_length").as_int();
  const auto layers = tensors_of(golden.inputs.at("layers"), at::kDouble);
  const auto decisions_of = [&](const std::vector<at::Tensor>& in) {
    std::vector<RoutingDecision> out;
    for (const auto& logits : in) out.push_back(plain_decision(logits, k, logits.size(0) / S));
    return out;
  };
  const auto check = [&](const std::string& name, const testing::ScalarFunction& loss) {
    const auto& need = golden.outputs.at("losses").at(name);
    expect_close(loss(layers).item<double>(), need.at("value").as_double(), 1e-11, 1e-14,
                 name);  // 12 digits are written
    const auto gradients = testing::gradients_of(loss, layers), wanted = tensors_of(need.at("gradients"), at::kDouble);
    for (size_t i = 0; i < layers.size(); ++i) expect_close(gradients[i], wanted[i], 1e-11, 1e-14, name + " gradient");
  };
  for (const std::string name : {"switch", "hf", "megablocks", "flaxformer"})
    check(name, [&](const auto& in) { return balance_loss(term_of(name), {decisions_of(in)}); });
  check("sequence", [&](const auto& in) { return balance_loss(term_of("megatron_sequence"), {decisions_of(in)}); });
  check("z", [&](const auto& in) { return z_loss(decisions_of(in), false); });
}

// Groups are cut like those of drops: their borders lie on places, and the last may be shorter.
TEST(BalanceLoss, OfGroupsIsTheMeanOfTheGroupsByTheirTokensAlsoWithPadding) {
  const auto logits = testing::random_tensor({10, 4}, 17, 1.5);
  auto is_padding = at::zeros({10}, at::kBool);
  for (const int64_t t : {2, 3, 9}) is_padding[t].fill_(true);
  for (const auto& padding : {at::Tensor(), is_padding})
    for (const std::string name : {"flaxformer", "gshard"}) {
      const auto whole = testing::plain_decision(logits, 2, 1, padding);
      double need = 0, n_tokens = 0;
      for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 4}, {4, 4}, {8, 2}}) {
        const auto part = testing::part_of(whole, first, count, 1);
        const double n = padding.defined() ? static_cast<double>(count - part.is_padding.sum().item<int64_t>())
                                           : static_cast<double>(count);
        need += balance_loss(term_of(name), {{part}}).item<double>() * n;
        n_tokens += n;
      }
      expect_close(balance_loss(term_of(name, {}, 4), {{whole}}).item<double>(), need / n_tokens, 1e-13, 1e-14, name);
    }
}

BalanceTerm read_term(const Json& json) {
  BalanceTerm term;
  term.loss = json.at("loss").as_string();
  if (const Json* reduce = json.find("reduce"))
    evenkeel::read_value(config_from_json(*reduce, "golden"), "reduce", term.reduce.emplace());
  if (const Json* counts = json.find("counts"))
    evenkeel::read_value(config_from_json(*counts, "golden"), "counts", term.counts.emplace());
  if (const Json* group_size = json.find("group_size")) term.group_size = group_size->as_int();
  return term;
}

Score score_of(const std::string& name) {
  return name == "softmax" ? Score::softmax : name == "sigmoid" ? Score::sigmoid : Score::sqrtsoftplus;
}

// The layers of one micro-batch of a case, with these logits.
std::vector<RoutingDecision> golden_decisions(const Json& test_case, const Json& batch,
                                              const std::vector<at::Tensor>& logits) {
  std::vector<RoutingDecision> out;
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto& layer = batch.at("layers").as_array()[i];
    auto decision = plain_decision(logits[i], test_case.at("top_k").as_int(), test_case.at("n_sequences").as_int());
    decision.score = score_of(test_case.at("score").as_string());
    decision.token_ids = testing::ids_of(layer.at("token_ids"));
    decision.expert_ids = testing::ids_of(layer.at("expert_ids"));
    const auto flags = [](const Json& json) {
      std::vector<int64_t> flat;
      for (const auto& flag : json.as_array()) flat.push_back(flag.as_bool() ? 1 : 0);
      return at::tensor(flat, at::kLong).to(at::kBool);
    };
    decision.dropped = flags(layer.at("dropped"));
    decision.is_padding = flags(batch.at("is_padding"));
    if (!decision.is_padding.any().item<bool>()) decision.is_padding = at::Tensor();
    out.push_back(decision);
  }
  return out;
}
std::vector<at::Tensor> logits_of(const Json& batch, at::ScalarType dtype) {
  std::vector<at::Tensor> out;
  for (const auto& layer : batch.at("layers").as_array())
    out.push_back(testing::tensor_of(layer.at("logits")).to(dtype));
  return out;
}

void check_golden_case(const Json& test_case, const BalanceTerm& term, const Json& need, at::ScalarType dtype,
                       double rtol, double atol) {
  const std::string what = test_case.at("name").as_string() + " " + evenkeel::to_json(term).dump();
  StepLoad load;
  const auto& batches = test_case.at("micro_batches").as_array();
  for (size_t i = 0; i < batches.size(); ++i) {
    const auto logits = logits_of(batches[i], dtype);
    const auto decisions = golden_decisions(test_case, batches[i], logits);
    add_load(load, count_load(term, decisions));
    const auto value = balance_loss(term, {decisions, &load});
    EXPECT_EQ(value.scalar_type(), dtype);
    expect_close(value.item<double>(), need.at("values").as_array()[i].as_double(), rtol, atol, what);
    if (i + 1 < batches.size()) continue;
    const auto loss = [&](const auto& in) {
      return balance_loss(term, {golden_decisions(test_case, batches[i], in), &load});
    };
    const auto gradients = testing::gradients_of(loss, logits), wanted = tensors_of(need.at("gradient"), at::kDouble);
    for (size_t layer = 0; layer < logits.size(); ++layer)
      expect_close(gradients[layer], wanted[layer], rtol, atol, what + " gradient");
  }
}

// Every loss as its source writes it, over three micro-batches, two layers and two sequences, with choices that are not
// the plain ones, drops, padding and all scores; and the changes that a recipe can make.
TEST(BalanceLoss, MatchesTheGoldenTable) {
  const auto golden = testing::read_golden("balance_table.json");
  const auto& terms = golden.inputs.at("terms").as_array();
  for (const auto& test_case : golden.inputs.at("cases").as_array()) {
    const auto& need = golden.outputs.at(test_case.at("name").as_string()).as_array();
    ASSERT_EQ(need.size(), terms.size());
    for (size_t i = 0; i < terms.size(); ++i) {
      check_golden_case(test_case, read_term(terms[i]), need[i], at::kFloat, golden.rtol, golden.atol);
      check_golden_case(test_case, read_term(terms[i]), need[i], at::kDouble, 1e-11, 1e-14);  // 12 digits are written
    }
  }
}

// tests/parity/balance_parity.py writes what other libraries give for the losses that are named after them.
TEST(BalanceParity, AgreesWithTheLibrariesThatTheLossesAreNamedAfter) {
  const char* path = std::getenv("EVENKEEL_BALANCE_PARITY");
  if (path == nullptr) GTEST_SKIP() << "runs within tests/parity/balance_parity.py";
  const Json file = Json::parse(read_file(path), path);
  const double rtol = file.at("rtol").as_double(), atol = file.at("atol").as_double();
  EXPECT_GT(file.at("checks").size(), 0u);
  for (const auto& check : file.at("checks").as_array())
    for (const auto dtype : {at::kFloat, at::kDouble})
      check_golden_case(check.at("case"), read_term(check.at("term")), check.at("need"), dtype, rtol, atol);
}

}  // namespace
}  // namespace evenkeel::moe
