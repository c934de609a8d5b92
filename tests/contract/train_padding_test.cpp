// A batch with padding gives the losses, routing figures and gradients of the same batch without it: with every balance
// loss, every rule of capacity, and routers of every scope.
#include <ATen/ops/arange.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "moe/balance_loss.h"
#include "optim/gradient_norm.h"
#include "support/gradients.h"
#include "support/optimizers.h"
#include "support/tiny_run.h"
#include "train/step.h"

namespace evenkeel::train {
namespace {

constexpr const char* kNoAuxiliary = "model.balance={loss = []}";
constexpr int64_t kPlaces = 8;  // of a row

// A row whose last places are padding, with tokens in them that must not be seen.
data::Batch padded_row(int64_t n_tokens, uint64_t seed) {
  data::Batch batch;
  batch.tokens = testing::random_ids(kPlaces, testing::kTinyVocabulary, seed).view({1, kPlaces});
  batch.is_padding = at::arange(kPlaces).unsqueeze(0).ge(n_tokens);
  batch.targets = testing::random_ids(kPlaces, testing::kTinyVocabulary, seed + 100).view({1, kPlaces});
  batch.targets.masked_fill_(batch.is_padding, -1);
  return batch;
}
data::Batch without_padding(const data::Batch& batch, int64_t n_tokens) {
  data::Batch out;
  out.tokens = batch.tokens.narrow(1, 0, n_tokens).contiguous();
  out.targets = batch.targets.narrow(1, 0, n_tokens).contiguous();
  return out;
}

struct Trained {
  StepReport report;
  TrainState state;
};

// A step at rate 0 in fp64, without clipping, from routers far from uniform: the first moments are (1 - beta1) times
// the gradient.
Trained wide_step(std::vector<std::string> overrides, const std::vector<data::Batch>& micro_batches) {
  overrides.emplace_back("optimizer.clip_norm=0");
  const auto config = testing::tiny_config("/data", overrides);
  const model::Transformer model(config.model);
  Trained out;
  out.state = initial_state(config, model, at::kCPU);
  ops::Params wide;
  for (const auto& [name, tensor] : out.state.params) {
    const double scale = optim::matches_pattern(name, "layers.*.router.weight") ? 100.0 : 1.0;
    wide.add(name, tensor.detach().to(at::kDouble).mul(scale).requires_grad_(true));
  }
  out.state.params = wide;
  const auto optimizer = run_optimizer(config);
  out.state.optimizer = optim::initial_optimizer_state(*optimizer, wide);
  out.report = train_step(model, {*optimizer, 0.0, {}}, micro_batches, out.state);
  return out;
}

// fp64 sums in another order, of products of other shapes.
void expect_same(const Trained& got, const Trained& need, const std::string& what) {
  ASSERT_EQ(got.report.terms.size(), need.report.terms.size());
  for (size_t i = 0; i < need.report.terms.size(); ++i)
    testing::expect_close(got.report.terms[i].value, need.report.terms[i].value, 1e-12, 1e-14,
                          what + need.report.terms[i].name);
  for (size_t layer = 0; layer < need.report.routing.size(); ++layer) {
    const auto &counted = got.report.routing[layer], &wanted = need.report.routing[layer];
    EXPECT_EQ(counted.tokens_per_expert, wanted.tokens_per_expert) << what;
    EXPECT_EQ(counted.n_tokens, wanted.n_tokens) << what;
    EXPECT_EQ(counted.n_dropped, wanted.n_dropped) << what;
    for (const auto& [name, tensor] : need.state.router_states[layer])  // fp32
      testing::expect_close(got.state.router_states[layer].at(name), tensor.to(at::kDouble), 1e-6, 1e-7, what + name);
  }
  const auto first = testing::moments_of(got.state.optimizer, "first");
  for (const auto& [name, moment] : testing::moments_of(need.state.optimizer, "first"))
    testing::expect_close(first.at(name), moment, 1e-10, 1e-14, what + name);
}

void expect_same_with_padding(const std::vector<std::string>& overrides) {
  constexpr int64_t kTokens = 5;
  std::string what;
  for (const auto& text : overrides) what += text + " ";
  const auto batch = padded_row(kTokens, 7);
  const auto padded = wide_step(overrides, {batch}), plain = wide_step(overrides, {without_padding(batch, kTokens)});
  EXPECT_EQ(padded.report.n_tokens, kPlaces);
  EXPECT_EQ(padded.report.n_padding, kPlaces - kTokens);
  EXPECT_EQ(padded.report.n_scored, kTokens);
  EXPECT_EQ(padded.report.scored_share(), 1.0);
  EXPECT_EQ(plain.report.n_padding, 0);
  expect_same(padded, plain, what);
}

TEST(Padding, ChangesNothingUnderAnyRouter) {
  const std::string balance = "model.balance={loss = \"switch\", coefficient = 0.5, z_coefficient = 0.1}";
  for (const char* router : {"kind = \"top_k\"", "score = \"sigmoid\", renormalize = true",
                             "kind = \"loss_free\", rate = 0.25", "kind = \"quantile\"", "kind = \"sinkhorn\"",
                             "kind = \"sinkhorn\", variant = \"megatron\"", "kind = \"expert_choice\"", "jitter = 0.3"})
    expect_same_with_padding({balance, "model.router={" + std::string(router) + "}"});
  for (const char* router : {"base", "hash", "random", "uniform"})
    expect_same_with_padding({kNoAuxiliary, "model.top_k=1", "model.router={kind = \"" + std::string(router) + "\"}"});
}

TEST(Padding, IsInNoBalanceLoss) {
  for (const auto& kind : moe::balance_loss_kinds())
    expect_same_with_padding(
        {"model.balance={loss = \"" + std::string(kind.name) + "\", coefficient = 0.5, z_coefficient = 0.1}"});
}

TEST(Padding, TakesNoPlaceOfACapacity) {
  for (const auto& rule : moe::capacity_rules())
    expect_same_with_padding(
        {kNoAuxiliary, "model.capacity={rule = \"" + rule.config.rule + "\", factor_train = 0.5, minimum = 1}"});
}

// Rows of several lengths in one batch give what they give one by one, where nothing has a wider scope: also where
// drops and a balance loss are those of groups of a row's places.
TEST(Padding, OfOneRowDoesNotBearOnAnother) {
  std::vector<data::Batch> rows, alone;
  int64_t n_padding = 0;
  for (const int64_t n_tokens : {8, 3, 6}) {
    rows.push_back(padded_row(n_tokens, static_cast<uint64_t>(n_tokens)));
    alone.push_back(without_padding(rows.back(), n_tokens));
    n_padding += kPlaces - n_tokens;
  }
  const std::string in_groups = "group_size = " + std::to_string(kPlaces) + "}";
  const std::vector<std::vector<std::string>> cases = {
      {"model.balance={loss = \"deepseek_sequence\", coefficient = 0.5, z_coefficient = 0.1}"},
      {"model.balance={loss = \"flaxformer\", coefficient = 0.5, " + in_groups,
       "model.capacity={rule = \"openmoe\", grouping = \"cut\", factor_train = 0.5, minimum = 1, " + in_groups}};
  for (const auto& overrides : cases) {
    const auto together = wide_step(overrides, {data::joined(rows)});
    expect_same(together, wide_step(overrides, alone), overrides[0] + " ");
    EXPECT_EQ(together.report.n_padding, n_padding);
  }
}

TEST(Padding, AndWhatIsNotScoredAreCountedApart) {
  auto batch = padded_row(6, 3);
  batch.targets.narrow(1, 0, 3).fill_(-1);
  const auto report = wide_step({}, {batch}).report;
  EXPECT_EQ(report.n_scored, 3);
  EXPECT_EQ(report.scored_share(), 0.5);  // of six tokens
  EXPECT_EQ(report.padding_share(), 0.25);
}

}  // namespace
}  // namespace evenkeel::train
