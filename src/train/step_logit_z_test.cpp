// The z-loss of the output logits in a step (train.logit_z_coefficient).
#include <ATen/ops/logsumexp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/gradients.h"
#include "support/optimizers.h"
#include "support/tiny_run.h"
#include "train/step.h"

namespace evenkeel::train {
namespace {

using testing::tiny_config;

data::Batch batch_of(int64_t n_sequences) {
  data::Batch batch;
  batch.tokens = testing::random_ids(n_sequences * 8, testing::kTinyVocabulary, 1).view({n_sequences, 8});
  batch.targets = testing::random_ids(n_sequences * 8, testing::kTinyVocabulary, 2).view({n_sequences, 8});
  batch.targets[0][3] = -1;
  return batch;
}

std::vector<std::string> names_of(const std::vector<LossTerm>& terms) {
  std::vector<std::string> out;
  for (const auto& term : terms) out.push_back(term.name);
  return out;
}

struct Trained {
  StepReport report;
  TrainState before, after;
};
Trained step_once(const RunConfig& config, const std::vector<data::Batch>& micro_batches) {
  const model::Transformer model(config.model);
  Trained out;
  out.before = initial_state(config, model, at::kCPU);
  out.after = initial_state(config, model, at::kCPU);
  out.report =
      train_step(model, {*run_optimizer(config), 1e-3, {}, config.train.logit_z_coefficient}, micro_batches, out.after);
  return out;
}

TEST(LogitZ, IsATermBesideThatOfTheRouter) {
  const auto without = step_once(tiny_config("/data"), {batch_of(4)});
  EXPECT_EQ(names_of(without.report.terms), (std::vector<std::string>{"cross_entropy", "balance", "z"}));
  const auto with = step_once(tiny_config("/data", {"train.logit_z_coefficient=0.5"}), {batch_of(4)});
  EXPECT_EQ(names_of(with.report.terms), (std::vector<std::string>{"cross_entropy", "balance", "z", "logit_z"}));
  EXPECT_EQ(with.report.terms[3].coefficient, 0.5);
  for (size_t i = 0; i < 3; ++i)  // the cross-entropy is rounded to fp32 in one of them
    testing::expect_close(with.report.terms[i].value, without.report.terms[i].value, 1e-6, 0,
                          with.report.terms[i].name);
  EXPECT_NEAR(with.report.loss - without.report.loss, 0.5 * with.report.terms[3].value, 1e-5);
  EXPECT_FALSE(testing::same_bits(with.after.params.at("head.weight").detach(),
                                  without.after.params.at("head.weight").detach()));
}

// The mean over targets of logsumexp^2, however the step is cut into micro-batches.
TEST(LogitZ, IsAMeanOverTheTargetsOfTheStep) {
  const auto config = tiny_config("/data", {"train.logit_z_coefficient=0.5"});
  const auto batch = batch_of(4);
  const auto whole = step_once(config, {batch});
  std::vector<data::Batch> halves(2);
  for (int64_t i = 0; i < 2; ++i) {
    halves[static_cast<size_t>(i)].tokens = batch.tokens.narrow(0, 2 * i, 2).contiguous();
    halves[static_cast<size_t>(i)].targets = batch.targets.narrow(0, 2 * i, 2).contiguous();
  }
  const auto parts = step_once(config, halves);
  const model::Transformer model(config.model);
  auto input = model::input_of(batch);
  const auto hidden = model.forward(whole.before.params, whole.before.router_states, input).hidden.detach();
  const auto lse = at::logsumexp(hidden.matmul(model.head(whole.before.params).detach().t()), {1}).to(at::kDouble);
  const auto is_target = batch.targets.reshape({-1}).ge(0);
  const double need = ((lse.square() * is_target).sum() / is_target.sum()).item<double>();
  EXPECT_NEAR(whole.report.terms.back().value / need, 1, 1e-5);  // fp32 logits
  EXPECT_NEAR(parts.report.terms.back().value / need, 1, 1e-5);
}

TEST(LogitZ, OfADenseModelIsItsSecondTerm) {
  auto overrides = testing::kTinyDense;
  overrides.emplace_back("train.logit_z_coefficient=1e-4");
  const auto trained = step_once(tiny_config("/data", overrides), {batch_of(4)});
  EXPECT_EQ(names_of(trained.report.terms), (std::vector<std::string>{"cross_entropy", "logit_z"}));
}

}  // namespace
}  // namespace evenkeel::train
