#include "analysis/forward.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/linear.h>
#include <gmock/gmock.h>

#include "analysis/routing_stats.h"
#include "analysis/test_support.h"
#include "core/errors.h"
#include "ops/cross_entropy.h"
#include "support/held_weights.h"

namespace evenkeel::analysis {
namespace {

using ::testing::HasSubstr;

TEST(Forwards, IsTheForwardPassOfTheModel) {
  const auto model = tiny_model();
  const auto windows = windows_of(testing::random_ids(24, kTestVocabulary, 3).view({3, 8}));
  const auto batch = windows->next(3);
  const auto seen = run_forward(model, nullptr, batch, 0, {});
  model::ModelInput input;
  input.tokens = batch.tokens;
  input.mode = moe::Mode::eval;
  const auto need = model.model.forward(model.params, model.router_states, input);
  ASSERT_EQ(seen.observation.routing.size(), 2u);
  EXPECT_EQ(seen.observation.routing[1].layer, 2);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(testing::same_bits(seen.observation.routing[i].expert_ids, need.routing[i].expert_ids));
    EXPECT_TRUE(testing::same_bits(seen.observation.routing[i].weights, need.routing[i].weights));
    EXPECT_TRUE(testing::same_bits(seen.observation.routing[i].logits, need.routing[i].logits));
  }
  const auto logits = ops::head_logits(seen.hidden, model.model.head(model.params));
  EXPECT_TRUE(testing::same_bits(seen.observation.predicted_ids.view({-1}), logits.argmax(1)));
  EXPECT_TRUE(testing::same_bits(seen.head, model.model.head(model.params)));
  EXPECT_TRUE(seen.observation.reference.empty());
}

// Stored weights, in a group of all batches, beside a reference in memory and the other way round.
TEST(Forwards, AreTheSameByStoredWeights) {
  const auto held = tiny_model(1), other = tiny_model(2);
  const auto weights = std::make_shared<testing::HeldWeights>(held.params);
  auto stored = tiny_model(1);
  stored.stored = weights;
  stored.params = {};
  stored.group_bytes = 1e9;
  const auto ids = testing::random_ids(56, kTestVocabulary, 3).view({7, 8});
  const auto run = [&](const LoadedModel& model, const LoadedModel* reference) {
    const auto windows = windows_of(ids);
    Forwards forwards(model, reference, [&] { return windows->next(3); }, {.batch_size = 3});
    std::vector<Forward> out;
    while (auto seen = forwards.next()) out.push_back(*std::move(seen));
    return out;
  };
  const auto expect_equal = [&](const std::vector<Forward>& got, const std::vector<Forward>& need) {
    ASSERT_EQ(got.size(), 3u);
    for (size_t n = 0; n < 3; ++n) {
      EXPECT_TRUE(testing::same_bits(got[n].hidden, need[n].hidden));
      EXPECT_TRUE(testing::same_bits(got[n].observation.predicted_ids, need[n].observation.predicted_ids));
      for (size_t i = 0; i < 2; ++i) {
        expect_same(got[n].observation.routing[i], need[n].observation.routing[i], "routing");
        expect_same(got[n].observation.reference[i], need[n].observation.reference[i], "reference");
      }
    }
  };
  expect_equal(run(stored, &other), run(held, &other));
  EXPECT_EQ(weights->n_whole("embedding.weight"), 1);
  expect_equal(run(other, &stored), run(other, &held));
  expect_equal(run(stored, &stored), run(held, &held));
  EXPECT_TRUE(testing::same_bits(stored.embedding(), held.embedding()));
}

TEST(Forwards, TheReferenceSeesTheSameTokens) {
  const auto model = tiny_model(1), other = tiny_model(2);
  const auto batch = windows_of(testing::random_ids(24, kTestVocabulary, 3).view({3, 8}))->next(3);
  const auto alone = run_forward(other, nullptr, batch, 0, {}).observation;
  const auto seen = run_forward(model, &other, batch, 0, {}).observation;
  ASSERT_EQ(seen.reference.size(), 2u);
  for (size_t i = 0; i < 2; ++i) expect_same(seen.reference[i], alone.routing[i], "reference");
  EXPECT_FALSE(at::equal(seen.reference[0].expert_ids, seen.routing[0].expert_ids));
  const auto itself = run_forward(model, &model, batch, 0, {}).observation;
  for (size_t i = 0; i < 2; ++i) expect_same(itself.reference[i], itself.routing[i], "itself");
}

TEST(Forwards, TheModeReachesTheRouters) {
  auto model = tiny_model(1, "router = {kind = \"sinkhorn\"}\n");
  const auto batch = windows_of(testing::random_ids(64, kTestVocabulary, 3).view({8, 8}))->next(8);
  const auto mri = [&](moe::Mode mode) {
    return routing_stats(count_routing(run_forward(model, nullptr, batch, 0, {.mode = mode}).observation.routing[0]))
        .mri;
  };
  EXPECT_LT(mri(moe::Mode::train), mri(moe::Mode::eval));  // the plan balances, plain top-k does not
}

TEST(Forwards, RandomRoutersDrawByTheBatchInTrainingAlone) {
  const auto model = tiny_model(1, "router = {kind = \"random\"}\nbalance = {loss = []}\n");
  const auto batch = windows_of(testing::random_ids(64, kTestVocabulary, 3).view({8, 8}))->next(8);
  const auto drawn = [&](moe::Mode mode, int64_t number) {
    return run_forward(model, nullptr, batch, number, {.mode = mode, .seed = 5}).observation.routing[0].expert_ids;
  };
  EXPECT_TRUE(
      at::equal(drawn(moe::Mode::eval, 0), drawn(moe::Mode::eval, 1)));  // so no result depends on the batch size
  EXPECT_FALSE(at::equal(drawn(moe::Mode::train, 0), drawn(moe::Mode::train, 1)));
}

TEST(Forwards, DocumentsAreKeptApartWhereAsked) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(write_documents(folder, "a", 30));
  const auto model = tiny_model();
  const auto first = run_forward(model, nullptr, windows_of(dataset, 14, 0)->next(1), 0, {}).observation;
  const auto apart =
      run_forward(model, nullptr, windows_of(dataset, 14, 0)->next(1), 0, {.separate_documents = true}).observation;
  const auto second_half = [](const Observation& seen) { return seen.routing[1].logits.narrow(0, 7, 7); };
  // The first document sees the same tokens either way; attention with a mask sums in another order than causal
  // attention.
  EXPECT_TRUE(at::allclose(first.routing[1].logits.narrow(0, 0, 7), apart.routing[1].logits.narrow(0, 0, 7),
                           /*rtol=*/1e-5, /*atol=*/1e-6));
  EXPECT_FALSE(at::equal(second_half(first), second_half(apart)));
}

TEST(CheckReference, NamesTheDifference) {
  const auto model = tiny_model();
  EXPECT_NO_THROW(check_reference(model, tiny_model(2)));
  const auto other = [&](auto&& change) {
    auto config = model.model.config();
    change(config);
    const LoadedModel reference{"other", model::Transformer(config), {}, {}};
    return testing::message_of<ConfigError>([&] { check_reference(model, reference); });
  };
  EXPECT_THAT(other([](auto& config) { config.top_k = 1; }),
              HasSubstr("--reference other: got top_k 1; need 2 as in tiny-1"));
  EXPECT_THAT(other([](auto& config) { config.vocab_size = 17; }), HasSubstr("got a vocabulary of 17; need 16"));
  EXPECT_THAT(other([](auto& config) { config.n_experts = 5; }), HasSubstr("got n_experts 5"));
  EXPECT_THAT(other([](auto& config) { config.moe_layers.list = {0, 1}; }), HasSubstr("got a MoE layer at 1; need 2"));
  EXPECT_THAT(other([](auto& config) { config.moe_layers.list = {0}; }),
              HasSubstr("got a number of MoE layers of 1; need 2"));
}

}  // namespace
}  // namespace evenkeel::analysis
