#include "train/step.h"

#include <atomic>
#include <cmath>
#include <limits>

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/balance_loss.h"
#include "optim/gradient_norm.h"
#include "support/gradients.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::tiny_config;

constexpr const char* kNoAuxiliary = "model.balance={loss = []}";

data::Batch batch_of(int64_t n_sequences, uint64_t seed = 1) {
  data::Batch batch;
  batch.tokens = testing::random_ids(n_sequences * 8, testing::kTinyVocabulary, seed).view({n_sequences, 8});
  batch.targets = testing::random_ids(n_sequences * 8, testing::kTinyVocabulary, seed + 100).view({n_sequences, 8});
  return batch;
}

std::vector<data::Batch> split(const data::Batch& batch, int64_t micro_batch_size) {
  std::vector<data::Batch> out;
  for (int64_t first = 0; first < batch.tokens.size(0); first += micro_batch_size) {
    data::Batch part = batch;
    for (at::Tensor* x : {&part.tokens, &part.targets, &part.is_padding})
      if (x->defined()) *x = x->narrow(0, first, micro_batch_size).contiguous();
    out.push_back(part);
  }
  return out;
}

struct Trained {
  StepReport report;
  TrainState state;
};

// One step from initialisation, without clipping, so that the first moments are (1 - beta1) times the gradient.
Trained step_once(std::vector<std::string> overrides, const std::vector<data::Batch>& micro_batches) {
  overrides.emplace_back("optimizer.clip_norm=0");
  const auto config = tiny_config("/data", overrides);
  const model::Transformer model(config.model);
  Trained out;
  out.state = initial_state(config, model, at::kCPU);
  out.report = train_step(model, {config.optimizer, 1e-3, {}}, micro_batches, out.state);
  return out;
}

const LossTerm& term_of(const StepReport& report, const std::string& name) {
  for (const auto& term : report.terms)
    if (term.name == name) return term;
  throw std::logic_error("no term " + name);
}

// fp32 sums in another order: 32 tokens, a few layers.
constexpr double kRelative = 1e-5, kAbsolute = 1e-7;

TEST(TrainStep, AccumulationGivesTheLossAndGradientOfOneLargeBatch) {
  auto batch = batch_of(4);
  for (int64_t i = 0; i < 11; ++i)
    batch.targets.view({-1}).mutable_data_ptr<int64_t>()[i] = -1;  // micro-batches of unequal weight
  const auto whole = step_once({kNoAuxiliary}, {batch});
  for (const int64_t micro_batch_size : {1, 2}) {
    const auto parts = step_once({kNoAuxiliary}, split(batch, micro_batch_size));
    testing::expect_close(parts.report.loss, whole.report.loss, kRelative, kAbsolute, "loss");
    testing::expect_close(parts.report.grad_norm, whole.report.grad_norm, kRelative, kAbsolute, "gradient norm");
    for (const auto& [name, moment] : whole.state.adam.first)
      testing::expect_close(parts.state.adam.first.at(name), moment.to(at::kDouble), 1e-4, 1e-8, name);
  }
}

TEST(TrainStep, ZLossDoesNotDependOnTheSplit) {
  const auto z_of = [](const Trained& trained) { return term_of(trained.report, "z").value; };
  const std::vector<std::string> overrides = {"model.balance={loss = [], z_coefficient = 0.5}"};
  auto batch = batch_of(4);
  for (const auto& kept : {at::tensor({8, 8, 8, 8}), at::tensor({8, 2, 5, 7})}) {  // tokens of each row, then padding
    batch.is_padding = at::arange(8).unsqueeze(0).ge(kept.unsqueeze(1));
    const auto whole = step_once(overrides, {batch}), parts = step_once(overrides, split(batch, 1));
    EXPECT_GT(z_of(whole), 0);
    testing::expect_close(z_of(parts), z_of(whole), kRelative, kAbsolute, "z");
    testing::expect_close(parts.report.grad_norm, whole.report.grad_norm, kRelative, kAbsolute, "gradient norm");
    for (const auto& [name, moment] : whole.state.adam.first)
      testing::expect_close(parts.state.adam.first.at(name), moment.to(at::kDouble), 1e-4, 1e-8, name);
  }
}

// The loss of micro-batch scope: the mean over micro-batches, weighted by their tokens.
TEST(TrainStep, BalanceIsTheMeanOverMicroBatches) {
  const auto batch = batch_of(4);
  const auto parts = split(batch, 2);
  const auto both = step_once({}, parts), first = step_once({}, {parts[0]}), second = step_once({}, {parts[1]});
  const double mean = (term_of(first.report, "balance").value + term_of(second.report, "balance").value) / 2;
  testing::expect_close(term_of(both.report, "balance").value, mean, kRelative, kAbsolute, "balance");
}

TEST(TrainStep, LossIsTheTermsTimesTheirCoefficients) {
  const auto report = step_once({}, {batch_of(4)}).report;
  ASSERT_EQ(report.terms.size(), 3u);
  EXPECT_EQ(report.terms[0].name, "cross_entropy");
  EXPECT_EQ(report.terms[0].coefficient, 1.0);
  EXPECT_EQ(term_of(report, "balance").coefficient, 0.01);
  EXPECT_EQ(term_of(report, "z").coefficient, 0.001);
  EXPECT_GE(term_of(report, "balance").value, 2 * 0.9);  // two layers, each about 1 when balanced
  EXPECT_DOUBLE_EQ(report.loss, report.terms[0].value + 0.01 * term_of(report, "balance").value +
                                    0.001 * term_of(report, "z").value);
  EXPECT_EQ(report.learning_rate, 1e-3);
  EXPECT_EQ(report.n_tokens, 32);
}

TEST(TrainStep, AuxiliaryGradientsCarryTheirCoefficients) {
  const auto moment_of = [](const std::string& balance) {
    return step_once({"model.balance=" + balance}, {batch_of(4)})
        .state.adam.first.at("layers.0.router.weight")
        .to(at::kDouble);
  };
  const auto none = moment_of("{loss = []}");
  for (const std::string key : {"loss = \"switch\", coefficient", "loss = [], z_coefficient"}) {
    const auto once = moment_of("{" + key + " = 0.5}") - none, twice = moment_of("{" + key + " = 1.0}") - none;
    EXPECT_GT(once.abs().max().item<double>(), 1e-6) << key;
    testing::expect_close(twice, once * 2, 1e-3, 1e-7, key);
  }
}

TEST(TrainStep, SeveralBalanceLossesAreNamed) {
  const auto report =
      step_once({"model.balance={loss = [{loss = \"switch\", coefficient = 0.1}, {loss = \"hf\", coefficient = 0.2}]}"},
                {batch_of(4)})
          .report;
  EXPECT_EQ(term_of(report, "balance.switch").coefficient, 0.1);
  EXPECT_EQ(term_of(report, "balance.hf").coefficient, 0.2);
}

// A step at rate 0 with one balance loss, from routers far from uniform: its report and the gradient of a router.
struct Balanced {
  double value;
  at::Tensor moment;
};
Balanced balanced_step(const std::string& balance, const std::vector<data::Batch>& micro_batches) {
  const auto config = tiny_config("/data", {"optimizer.clip_norm=0", "model.balance=" + balance});
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  for (const auto& [name, tensor] : state.params)
    if (optim::matches_pattern(name, "layers.*.router.weight")) tensor.detach().mul_(100.0);
  const auto report = train_step(model, {config.optimizer, 0.0, {}}, micro_batches, state);
  return {term_of(report, "balance").value, state.adam.first.at("layers.0.router.weight").to(at::kDouble)};
}

// tests/contract/moe_balance_losses_test.cpp checks the functions; this is their way through accumulation.
TEST(TrainStep, BalanceLossesBySequenceDoNotDependOnTheSplit) {
  const auto batch = batch_of(4);
  for (const auto& kind : moe::balance_loss_kinds()) {
    const std::string balance = "{loss = \"" + std::string(kind.name) + "\", coefficient = 10.0}";
    const auto whole = balanced_step(balance, {batch});
    for (const int64_t micro_batch_size : {1, 2}) {
      const auto parts = balanced_step(balance, split(batch, micro_batch_size));
      if (kind.scope == moe::Scope::sequence) {
        testing::expect_close(parts.value, whole.value, kRelative, kAbsolute, kind.name);
        testing::expect_close(parts.moment, whole.moment, 1e-3, 1e-6, kind.name);
      } else {
        EXPECT_GT(std::abs(parts.value - whole.value), 1e-3) << kind.name;
      }
    }
  }
}

TEST(TrainStep, AuxiliaryLossesAreWeightedByTokensAndNotByTargets) {
  auto batch = batch_of(4);
  const std::string balance = "{loss = \"olmo_instance\", coefficient = 1.0}";
  const double every_target = balanced_step(balance, split(batch, 1)).value;
  for (int64_t i = 0; i < 11; ++i) batch.targets.view({-1}).mutable_data_ptr<int64_t>()[i] = -1;
  EXPECT_DOUBLE_EQ(balanced_step(balance, split(batch, 1)).value, every_target);
}

// Megatron's running counts: each micro-batch sees those of the step up to itself, and a step starts from none.
TEST(TrainStep, CountsOfAStepGoOnOverItsMicroBatches) {
  const std::string global = "{loss = \"megatron_global\", coefficient = 1.0}",
                    local = "{loss = \"megatron\", coefficient = 1.0}";
  const auto parts = split(batch_of(4), 2);
  EXPECT_DOUBLE_EQ(balanced_step(global, {parts[0]}).value, balanced_step(local, {parts[0]}).value);
  testing::expect_close(balanced_step(global, {parts[0], parts[0]}).value, balanced_step(local, {parts[0]}).value,
                        kRelative, kAbsolute, "the same counts twice");
  EXPECT_GT(std::abs(balanced_step(global, parts).value - balanced_step(local, parts).value), 1e-4);

  const auto config = tiny_config("/data", {"model.balance=" + global});
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  moe::StepLoad load;
  double expected = 0;
  for (const auto& part : parts) {
    const auto routing = model.forward(state.params, state.router_states, {.tokens = part.tokens}).routing;
    moe::add_load(load, moe::count_load({.loss = "megatron_global"}, routing));
    expected += moe::balance_loss({.loss = "megatron_global"}, {routing, &load}).item<double>() / 2;
  }
  for (int step = 0; step < 2; ++step)  // at rate 0: the second is the first again
    EXPECT_DOUBLE_EQ(term_of(train_step(model, {config.optimizer, 0.0, {}}, parts, state), "balance").value, expected);
}

// A step at rate 0 in fp64, from routers far from uniform.
Trained step_in_doubles(const std::string& router, const std::vector<data::Batch>& micro_batches) {
  const auto config = tiny_config("/data", {kNoAuxiliary, "optimizer.clip_norm=0", "model.router=" + router});
  const model::Transformer model(config.model);
  Trained out;
  out.state = initial_state(config, model, at::kCPU);
  ops::Params wide;
  for (const auto& [name, tensor] : out.state.params) {
    const double scale = optim::matches_pattern(name, "layers.*.router.weight") ? 100.0 : 1.0;
    wide.add(name, tensor.detach().to(at::kDouble).mul(scale).requires_grad_(true));
  }
  out.state.params = wide;
  out.state.adam = optim::initial_adam_state(wide);
  out.report = train_step(model, {config.optimizer, 0.0, {}}, micro_batches, out.state);
  return out;
}

void expect_same_step(const Trained& got, const Trained& need, const std::string& what) {
  testing::expect_close(got.report.loss, need.report.loss, 1e-13, 0, what + " loss");
  for (size_t layer = 0; layer < need.report.routing.size(); ++layer)
    EXPECT_EQ(got.report.routing[layer].tokens_per_expert, need.report.routing[layer].tokens_per_expert) << what;
  for (const auto& [name, moment] : need.state.adam.first)
    testing::expect_close(got.state.adam.first.at(name), moment, 1e-10, 1e-14, what + " " + name);
}

// A Sinkhorn router whose plan is the step's gives decisions, loss and gradients that do not depend on the split; one
// whose plan is the micro-batch's does not.
TEST(TrainStep, ARouterOfStepScopeDoesNotDependOnTheSplit) {
  const auto batch = batch_of(4);
  for (const std::string variant : {"log", "megatron"}) {
    const std::string keys = "{kind = \"sinkhorn\", variant = \"" + variant + "\", scope = ";
    const auto whole = step_in_doubles(keys + "\"step\"}", {batch});
    EXPECT_EQ(whole.report.loss,
              step_in_doubles(keys + "\"micro_batch\"}", {batch}).report.loss);  // one micro-batch: no difference
    for (const int64_t micro_batch_size : {1, 2}) {
      expect_same_step(step_in_doubles(keys + "\"step\"}", split(batch, micro_batch_size)), whole, variant);
      EXPECT_GT(std::abs(step_in_doubles(keys + "\"micro_batch\"}", split(batch, micro_batch_size)).report.loss -
                         whole.report.loss),
                1e-6)
          << variant;
    }
  }
}

TEST(TrainStep, APlanOfTheStepSeesItsDocuments) {
  auto batch = batch_of(4);
  batch.document_ids = at::arange(32, at::kLong).view({4, 8}).floor_divide(3);
  const std::string router = "{kind = \"sinkhorn\", scope = \"step\"}";
  auto parts = split(batch, 2);
  for (int64_t i = 0; i < 2; ++i)
    parts[static_cast<size_t>(i)].document_ids = batch.document_ids.narrow(0, 2 * i, 2).contiguous();
  expect_same_step(step_in_doubles(router, parts), step_in_doubles(router, {batch}), "documents");
}

// The state after a step is a function of the whole step for loss_free; its biases are steps of the rate.
TEST(TrainStep, BalancingStateMovesOncePerStep) {
  const auto batch = batch_of(4);
  const std::string router = "{kind = \"loss_free\", rate = 0.25}";
  const auto whole = step_in_doubles(router, {batch});
  for (const int64_t micro_batch_size : {1, 2})
    expect_same_step(step_in_doubles(router, split(batch, micro_batch_size)), whole, "loss_free");
  for (size_t layer = 0; layer < 2; ++layer) {
    const auto& state = whole.state.router_states[layer];
    EXPECT_EQ(state.at("tokens").item<int64_t>(), 32);
    EXPECT_EQ(state.at("steps").item<int64_t>(), 1);
    const auto& loads = whole.report.routing[layer].tokens_per_expert;
    for (int64_t expert = 0; expert < 4; ++expert) {
      const int64_t n = loads[static_cast<size_t>(expert)];  // the mean is 16
      EXPECT_EQ(state.at("bias")[expert].item<double>(), n > 16 ? -0.25 : n < 16 ? 0.25 : 0.0);
    }
    EXPECT_TRUE(testing::same_bits(state.at("bias"),
                                   step_in_doubles(router, split(batch, 1)).state.router_states[layer].at("bias")));
  }
}

TEST(TrainStep, JitterIsDrawnAnewForEachStepAndRepeatsWithTheSeed) {
  const auto loss_after = [](int64_t n_steps, int64_t seed) {
    const auto config = tiny_config("/data", {kNoAuxiliary, "model.router={jitter = 0.5, jitter_target = \"hidden\"}",
                                              "train.seed=" + std::to_string(seed)});
    const model::Transformer model(config.model);
    auto state = initial_state(config, model, at::kCPU);
    state.params = initial_state(tiny_config("/data"), model, at::kCPU).params;
    double loss = 0;
    for (int64_t step = 0; step < n_steps; ++step)
      loss = train_step(model, {config.optimizer, 0.0, {}}, std::vector{batch_of(4)}, state).loss;
    return loss;
  };
  EXPECT_EQ(loss_after(1, 1), loss_after(1, 1));
  EXPECT_NE(loss_after(1, 1), loss_after(2, 1));
  EXPECT_NE(loss_after(1, 1), loss_after(1, 2));
}

TEST(TrainStep, CountsTheRoutingOfTheWholeStep) {
  const auto report = step_once({}, split(batch_of(4), 1)).report;
  ASSERT_EQ(report.routing.size(), 2u);
  for (const auto& counts : report.routing) {
    EXPECT_EQ(counts.n_tokens, 32);
    int64_t sum = 0;
    for (const int64_t n : counts.tokens_per_expert) sum += n;
    EXPECT_EQ(sum, 64);  // top 2
  }
}

TEST(TrainStep, CountsStepsAndTokens) {
  const auto config = tiny_config("/data");
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  for (int i = 0; i < 2; ++i) train_step(model, {config.optimizer, 1e-3, {}}, std::vector{batch_of(4)}, state);
  EXPECT_EQ(state.step, 2);
  EXPECT_EQ(state.phase_step, 2);
  EXPECT_EQ(state.tokens, 64);
  for (const auto& [name, tensor] : state.params) EXPECT_FALSE(tensor.grad().defined()) << name;
}

TEST(TrainStep, LearnsAFixedBatch) {
  const auto config = tiny_config("/data");
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  const std::vector batches = {batch_of(4)};
  const double first = train_step(model, {config.optimizer, 1e-2, {}}, batches, state).loss;
  double last = 0;
  for (int i = 0; i < 40; ++i) last = train_step(model, {config.optimizer, 1e-2, {}}, batches, state).loss;
  EXPECT_NEAR(first, std::log(16.0), 0.1);  // uniform guesses at initialisation
  EXPECT_LT(last, 0.8 * first);
}

TEST(TrainStep, ClipsToTheConfiguredNorm) {
  auto config = tiny_config("/data", {"optimizer.clip_norm=1e-3"});
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  const auto report = train_step(model, {config.optimizer, 1e-3, {}}, std::vector{batch_of(4)}, state);
  EXPECT_GT(report.grad_norm, 1e-2);  // before clipping
  std::vector<at::Tensor> moments;
  for (const auto& [name, moment] : state.adam.first) moments.push_back(moment);
  EXPECT_NEAR(optim::gradient_norm(moments), 0.1 * 1e-3, 1e-7);  // 1 - beta1 = 0.1
}

TEST(TrainStep, FrozenParametersStay) {
  const auto config = tiny_config("/data");
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  const auto before = state.params.at("head.weight").detach().clone(),
             other = state.params.at("embedding.weight").detach().clone();
  train_step(model, {config.optimizer, 1e-3, testing::factors_of(state.params, {{"head.weight", 0.0}})},
             std::vector{batch_of(4)}, state);
  EXPECT_TRUE(testing::same_bits(state.params.at("head.weight").detach(), before));
  EXPECT_FALSE(testing::same_bits(state.params.at("embedding.weight").detach(), other));
}

// As the trainer freezes: factor 0, and the tensor requires no gradient.
TEST(TrainStep, AFrozenRouterKeepsItsBalancingState) {
  for (const std::string kind : {"loss_free", "quantile"}) {
    const auto config = tiny_config("/data", {kNoAuxiliary, "model.router={kind = \"" + kind + "\"}"});
    const model::Transformer model(config.model);
    auto state = initial_state(config, model, at::kCPU);
    const std::string name = kind == "quantile" ? "beta" : "bias";
    train_step(model, {config.optimizer, 1e-3, {}}, std::vector{batch_of(4)}, state);
    std::vector<ops::Params> before = state.router_states;
    state.params.at("layers.1.router.weight").set_requires_grad(false);
    train_step(model,
               {config.optimizer, 1e-3,
                testing::factors_of(state.params, {{"layers.0.router.weight", 0.5}, {"layers.1.router.weight", 0.0}})},
               split(batch_of(4, 2), 2), state);
    EXPECT_FALSE(testing::same_bits(state.router_states[0].at(name), before[0].at(name))) << kind;
    for (const auto& [key, tensor] : before[1])
      EXPECT_TRUE(testing::same_bits(state.router_states[1].at(key), tensor)) << kind << " " << key;
    train_step(model, {config.optimizer, 1e-3, {}}, std::vector{batch_of(4, 3)}, state);  // free again
    EXPECT_FALSE(testing::same_bits(state.router_states[1].at(name), before[1].at(name))) << kind;
  }
}

// The second of two blocks has the experts.
TEST(TrainStep, ALayerIsFrozenByItsPlaceInTheModel) {
  const auto config =
      tiny_config("/data", {kNoAuxiliary, "model.router={kind = \"loss_free\"}", "model.moe_layers=[1]"});
  const model::Transformer model(config.model);
  for (const bool is_frozen : {true, false}) {
    auto state = initial_state(config, model, at::kCPU);
    train_step(
        model,
        {config.optimizer, 1e-3,
         testing::factors_of(state.params, {{is_frozen ? "layers.1.router.weight" : "layers.0.router.weight", 0.0}})},
        std::vector{batch_of(4)}, state);
    EXPECT_EQ(state.router_states.at(0).at("steps").item<int64_t>(), is_frozen ? 0 : 1);
  }
}

TEST(TrainStep, ANonFiniteStepChangesNothing) {
  const auto config = tiny_config("/data");
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  train_step(model, {config.optimizer, 1e-3, {}}, std::vector{batch_of(4)}, state);
  state.params.at("head.weight").detach().mutable_data_ptr<float>()[0] = std::numeric_limits<float>::infinity();
  std::vector<at::Tensor> before;
  for (const auto* group : {&state.params, &state.adam.first, &state.adam.second})
    for (const auto& [name, tensor] : *group) before.push_back(tensor.detach().clone());
  const auto message = message_of<NumericsError>([&] {
    train_step(model, {config.optimizer, 1e-3, {}}, std::vector{batch_of(4)}, state);
  });
  EXPECT_THAT(message, HasSubstr("step 2: got loss"));
  EXPECT_THAT(message, HasSubstr("need finite values"));
  size_t i = 0;
  for (const auto* group : {&state.params, &state.adam.first, &state.adam.second})
    for (const auto& [name, tensor] : *group) EXPECT_TRUE(testing::same_bits(tensor.detach(), before[i++])) << name;
  EXPECT_EQ(state.step, 1);
  EXPECT_EQ(state.tokens, 32);
  EXPECT_EQ(state.adam.updates.back(), 1);
  for (const auto& [name, tensor] : state.params) EXPECT_FALSE(tensor.grad().defined()) << name;
}

TEST(TrainStep, AStepWithoutATargetIsAnError) {
  const auto config = tiny_config("/data");
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  auto batch = batch_of(4);
  batch.targets.fill_(-1);
  const auto message = message_of<DataError>([&] {
    train_step(model, {config.optimizer, 1e-3, {}}, std::vector{batch, batch}, state);
  });
  EXPECT_EQ(message, "step 1: got 64 tokens without a target; need one at least that is scored");
  EXPECT_EQ(state.step, 0);
  for (const auto& [name, tensor] : state.params) EXPECT_FALSE(tensor.grad().defined()) << name;
  train_step(model, {config.optimizer, 1e-3, {}}, std::vector{batch, batch_of(4)},
             state);  // one micro-batch may have none
  EXPECT_EQ(state.step, 1);
}

// A read of a single value waits for an accelerator each time. The step reads its figures as one tensor.
TEST(TrainStep, ReadsNoFigureOnTheWay) {
  static std::atomic<int64_t> n_reads;
  n_reads = 0;
  const auto config = tiny_config("/data");
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  const auto count = [](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
    if (std::string_view(function.name()) == "aten::_local_scalar_dense") ++n_reads;
    return nullptr;
  };
  const auto handle = at::addGlobalCallback(at::RecordFunctionCallback(count));
  batch_of(1).tokens.sum().item<int64_t>();
  const int64_t of_one = n_reads;
  train_step(model, {config.optimizer, 1e-3, {}}, split(batch_of(4), 2), state);
  at::removeCallback(handle);
  EXPECT_EQ(of_one, 1);  // a read is counted
  // The fused AdamW of the CPU reads how many updates each parameter has had; no other does.
  EXPECT_EQ(n_reads - of_one, static_cast<int64_t>(state.params.size()));
}

// The loads of each layer after some steps on one batch, split into micro-batches of two equal halves.
std::vector<std::vector<int64_t>> loads_of(int64_t n_steps, int64_t seed, int64_t micro_batch_size = 4) {
  const auto config =
      tiny_config("/data", {kNoAuxiliary, "model.router={kind = \"random\"}", "train.seed=" + std::to_string(seed)});
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  std::vector<std::vector<int64_t>> out;
  for (int64_t step = 0; step < n_steps; ++step)
    for (const auto& counts :
         train_step(model, {config.optimizer, 0.0, {}}, split(batch_of(4), micro_batch_size), state).routing)
      out.push_back(counts.tokens_per_expert);
  return out;
}

// 32 tokens of 2 experts of 4: equal loads by chance alone are rare, and these seeds have none.
TEST(TrainStep, RandomRoutersDrawAnewForEachStepLayerMicroBatchAndSeed) {
  const auto loads = loads_of(2, 1);  // step 1 layer 0, step 1 layer 1, step 2 layer 0, step 2 layer 1
  ASSERT_EQ(loads.size(), 4u);
  for (size_t i = 0; i < 4; ++i)
    for (size_t j = 0; j < i; ++j) EXPECT_NE(loads[i], loads[j]) << i << " " << j;
  EXPECT_EQ(loads_of(2, 1), loads);
  EXPECT_NE(loads_of(1, 2)[0], loads[0]);
  // Were the draws of both halves the same, every load would be twice that of a half: even.
  int64_t n_odd = 0;
  for (const auto& layer : loads_of(2, 1, 2))
    for (const int64_t n : layer) n_odd += n % 2;
  EXPECT_GT(n_odd, 0);
}

TEST(TrainStep, RoutersWithoutLogitsHaveNoAuxiliaryTerms) {
  for (const std::string kind : {"hash", "random", "uniform"}) {
    const auto report =
        step_once({kNoAuxiliary, "model.top_k=1", "model.router={kind = \"" + kind + "\"}"}, {batch_of(4)}).report;
    ASSERT_EQ(report.terms.size(), 1u) << kind;
    EXPECT_EQ(report.terms[0].name, "cross_entropy");
    EXPECT_EQ(report.routing.size(), 2u);
    EXPECT_EQ(report.loss, report.terms[0].value);
  }
}

}  // namespace
}  // namespace evenkeel::train
