// Rows that do not learn (optim/rate_factors.h), through a whole step.
#include <cmath>

#include <gtest/gtest.h>

#include "support/gradients.h"
#include "support/tiny_run.h"
#include "train/step.h"

namespace evenkeel::train {
namespace {

using testing::tiny_config;

data::Batch batch_of(uint64_t seed) {
  data::Batch batch;
  batch.tokens = testing::random_ids(32, testing::kTinyVocabulary, seed).view({4, 8});
  batch.targets = testing::random_ids(32, testing::kTinyVocabulary, seed + 100).view({4, 8});
  return batch;
}

// Old rows of the vocabulary and old experts, beside new ones that learn: weights and moments of the phase before stay.
TEST(TrainStep, FrozenRowsStayAndCountInNoNorm) {
  const auto config = tiny_config(
      "/data", {"optimizer.clip_norm=0", "phase.one.freeze=[\"*[:2]\", \"*norm.weight\", \"layers.*.attention.*\"]"});
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  const auto optimizer = run_optimizer(config);
  train_step(model, {*optimizer, 1e-3, {}}, std::vector{batch_of(1)}, state);
  const auto factors = config.phases[0].rate_factors(config.model);
  for (size_t i = 0; i < state.params.size(); ++i) state.params.tensor(i).set_requires_grad(!factors.is_frozen(i));
  std::vector<at::Tensor> before;
  const auto each = [&](const auto& visit) {  // parameters, first and second moments
    for (size_t i = 0; i < state.params.size(); ++i) visit(i, state.params.tensor(i).detach());
    for (size_t i = 0; i < state.optimizer.moments.size(); ++i)
      visit(i % state.params.size(), state.optimizer.moments.tensor(i));
  };
  each([&](size_t, const at::Tensor& tensor) { before.push_back(tensor.clone()); });
  const auto report = train_step(model, {*optimizer, 1e-3, factors}, std::vector{batch_of(2)}, state);
  size_t n = 0;
  double squares = 0;  // of the gradient, as the first moments say it
  each([&](size_t i, const at::Tensor& now) {
    const auto& was = before[n++];
    EXPECT_TRUE(testing::same_bits(now.narrow(0, 0, 2), was.narrow(0, 0, 2))) << state.params.name(i);
    if (!factors.is_frozen(i)) {
      EXPECT_FALSE(testing::same_bits(now, was)) << state.params.name(i);
    }
    if (n <= state.params.size() || n > 2 * state.params.size()) return;
    if (!factors.is_frozen(i))
      squares += ((now - 0.9 * was) / 0.1).narrow(0, 2, now.size(0) - 2).square().sum().item<double>();
  });
  EXPECT_NEAR(report.grad_norm, std::sqrt(squares), 1e-3 * report.grad_norm);  // m' - 0.9 m cancels digits of fp32
}

}  // namespace
}  // namespace evenkeel::train
