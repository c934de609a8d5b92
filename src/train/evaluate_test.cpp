#include "train/evaluate.h"

#include <cmath>

#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "model/init.h"
#include "model/input.h"
#include "support/gradients.h"
#include "support/tiny_run.h"
#include "train/mri_error.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::TemporaryFolder;

struct Tiny {
  explicit Tiny(const std::vector<std::string>& overrides = {})
      : config(testing::tiny_config("/data", overrides)),
        model(config.model),
        params(model::init_params(config.model, 1)) {}
  EvalResult evaluate(const data::IndexedDataset& dataset, const EvalOptions& options) const {
    return train::evaluate(model, {params, model.initial_router_states()}, dataset, options);
  }
  RunConfig config;
  model::Transformer model;
  ops::Params params;
};

ops::Params clone(const ops::Params& params) {
  ops::Params out;
  for (const auto& [name, tensor] : params) out.add(name, tensor.detach().clone());
  return out;
}

TEST(Evaluate, DoesNotDependOnTheBatchSize) {
  const TemporaryFolder folder;
  const auto dataset =
      data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));  // 6 windows of 8, then one of 1
  const std::string no_balance = "model.balance={loss = []}";
  for (const auto& overrides : {std::vector<std::string>{},
                                {"model.router={kind = \"sinkhorn\"}"},
                                {"model.router={kind = \"sinkhorn\", at_eval = true}"},
                                {no_balance, "model.router={kind = \"loss_free\"}"},
                                {no_balance, "model.router={kind = \"quantile\"}"},
                                {"model.router={jitter = 0.5, jitter_target = \"hidden\", jitter_at_eval = true}"}}) {
    const Tiny tiny(overrides);
    const auto one = tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = 1});
    EXPECT_EQ(one.n_tokens, 49);
    for (const int64_t batch_size : {2, 4, 16}) {
      const auto more = tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = batch_size});
      EXPECT_NEAR(more.loss, one.loss, 1e-6);  // fp32 products of another shape
      EXPECT_EQ(more.n_tokens, one.n_tokens);
      ASSERT_EQ(more.routing.size(), 2u);
      for (size_t i = 0; i < 2; ++i) EXPECT_EQ(more.routing[i].tokens_per_expert, one.routing[i].tokens_per_expert);
    }
  }
}

// Every registered router, alone in a forward pass and among others.
TEST(Evaluate, NoRouterDependsOnTheBatchSize) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  for (const auto& kind : moe::router_kinds()) {
    const Tiny tiny(
        {"model.router={kind = \"" + std::string(kind.name) + "\"}", "model.balance={loss = []}", "model.top_k=1"});
    const auto one = tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = 1}),
               again = tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = 1});
    const auto three = tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = 3});
    EXPECT_EQ(again.loss, one.loss) << kind.name;
    EXPECT_NEAR(three.loss, one.loss, 1e-6) << kind.name;  // fp32 products of another shape
    ASSERT_EQ(three.routing.size(), 2u);
    for (size_t i = 0; i < 2; ++i)
      EXPECT_EQ(three.routing[i].tokens_per_expert, one.routing[i].tokens_per_expert) << kind.name;
    const auto states = tiny.model.initial_router_states();
    for (const int64_t batch_size : {1, 3})
      for (const auto& row : evaluate_saturation(tiny.model, {{tiny.params, states}, {tiny.params, states}}, dataset,
                                                 {.sequence_length = 8, .batch_size = batch_size}))
        EXPECT_EQ(row.saturation, 1.0) << kind.name;
  }
}

// Expert choice of 4 experts: 2 of the 8 tokens of a window each, and of the last window's one token every expert.
TEST(Evaluate, TokensOfExpertChoiceMayHaveAnyNumberOfExperts) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  const Tiny tiny({"model.router={kind = \"expert_choice\"}", "model.balance={loss = []}", "model.top_k=1"});
  const auto result = tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = 4});
  EXPECT_EQ(result.routing[0].n_tokens, 49);
  EXPECT_EQ(result.routing[0].tokens_per_expert, (std::vector<int64_t>{13, 13, 13, 13}));  // 6 windows of 2, and 1
  EXPECT_DOUBLE_EQ(set_result(result).routing.at(0).mri, 13.0 / 49);
}

// Another objective than causal: the same examples whatever the batch and the model's step, and the loss of what it
// scores, which is held against the model's own on the sequences.
TEST(Evaluate, ScoresASetByItsOwnObjective) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  const Tiny tiny;
  const auto table = parse_toml("o = {kind = \"prefix_lm\"}", "r.toml", "");
  const std::shared_ptr<const data::Objective> prefix =
      data::make_objective(*table.find("o"), {8, testing::kTinyVocabulary});
  EvalOptions options{.sequence_length = 8, .batch_size = 1, .objective = prefix};
  const auto one = tiny.evaluate(dataset, options);
  EXPECT_EQ(one.objective, "prefix_lm");
  EXPECT_EQ(set_result(one).objective, "prefix_lm");
  EXPECT_GT(one.n_tokens, 6);
  EXPECT_LT(one.n_tokens, 49);  // prefixes are not scored
  EXPECT_EQ(one.bits_per_byte, std::nullopt);
  int64_t n_scored = 0;
  for (const int64_t n : one.blocks.tokens) n_scored += n;
  EXPECT_EQ(n_scored, one.n_tokens);
  options.batch_size = 4;
  options.step = 7;
  const auto more = tiny.evaluate(dataset, options);
  EXPECT_NEAR(more.loss, one.loss, 1e-6);  // fp32 products of another shape
  EXPECT_EQ(more.n_tokens, one.n_tokens);
  EXPECT_EQ(more.routing[0].tokens_per_expert, one.routing[0].tokens_per_expert);
  options.max_tokens = 5;
  EXPECT_EQ(tiny.evaluate(dataset, options).n_tokens, 5);
  const auto causal = tiny.evaluate(dataset, {.sequence_length = 8});
  EXPECT_EQ(causal.objective, "");
  EXPECT_EQ(set_result(causal).objective, std::nullopt);
  EXPECT_NE(causal.loss, one.loss);
}

TEST(Evaluate, NeedsSomethingThatItsObjectiveScores) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 2));
  const auto table = parse_toml("o = {kind = \"prefix_lm\"}", "r.toml", "");
  EvalOptions options{.sequence_length = 8};
  options.objective = data::make_objective(*table.find("o"), {8, testing::kTinyVocabulary});
  EXPECT_THAT(message_of<DataError>([&] { Tiny().evaluate(dataset, options); }),
              HasSubstr("got 2 tokens, of which the objective 'prefix_lm' scores none"));
}

// Every capacity rule: the group is a sequence (the last one has one token), and the mode picks the factor.
TEST(Evaluate, DropsFollowTheModeAndNotTheBatchSize) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  for (const auto& rule : moe::capacity_rules()) {
    const Tiny tiny(
        {"model.capacity={rule = \"" + rule.config.rule + "\", factor_train = 100, factor_eval = 0.6, minimum = 1}"});
    const auto one = tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = 1}),
               four = tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = 4});
    EXPECT_NEAR(four.loss, one.loss, 1e-6) << rule.config.rule;  // fp32 products of another shape
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_GT(one.routing[i].n_dropped, 0) << rule.config.rule;
      EXPECT_EQ(four.routing[i].n_dropped, one.routing[i].n_dropped) << rule.config.rule;
      EXPECT_EQ(set_result(one).routing.at(i).dropped, static_cast<double>(one.routing[i].n_dropped) / 98)
          << rule.config.rule;
    }
    const auto train = tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = 4, .mode = moe::Mode::train});
    for (size_t i = 0; i < 2; ++i) EXPECT_EQ(train.routing[i].n_dropped, 0) << rule.config.rule;
  }
}

// Each batch has draws of its own: batches of one window would else all have those of the first.
TEST(Evaluate, RandomRoutersDrawAnewForEachBatchInTraining) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 801));
  const Tiny tiny({"model.router={kind = \"random\"}", "model.balance={loss = []}", "model.top_k=1"});
  const auto load = [&](uint64_t seed) {
    return tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = 1, .mode = moe::Mode::train, .seed = seed})
        .routing[0]
        .tokens_per_expert;
  };
  for (const double tokens : load(1))
    EXPECT_NEAR(tokens, 200, 62);  // 5 standard deviations of a binomial(800, 1/4); equal draws give multiples of 100
  EXPECT_EQ(load(1), load(1));
  EXPECT_NE(load(1), load(2));
}

TEST(Evaluate, NumericErrorsNameTheStep) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  const Tiny tiny;
  tiny.params.at("layers.0.router.weight").detach().fill_(NAN);
  EXPECT_THAT(message_of<NumericsError>([&] { tiny.evaluate(dataset, {.sequence_length = 8, .step = 7}); }),
              HasSubstr("layer 0, step 7"));
}

TEST(Evaluate, UniformGuessesByHand) {
  const TemporaryFolder folder;
  const auto prefix = testing::write_tiny_data(folder, "held", 50);
  folder.write("held.json", R"({"format": "evenkeel.data.v1", "tokens": 50, "bytes": 160})");
  const auto dataset = data::IndexedDataset::open(prefix);
  ASSERT_EQ(dataset.text_bytes(), 160);
  Tiny tiny;
  tiny.params.at("head.weight").detach().zero_();
  const auto result = tiny.evaluate(dataset, {.sequence_length = 8});
  EXPECT_NEAR(result.loss, std::log(16.0), 1e-6);
  ASSERT_TRUE(result.bits_per_byte.has_value());
  EXPECT_NEAR(*result.bits_per_byte, 4.0 * 49 / 160,
              1e-6);  // 49 tokens of 4 bits each, and the bytes of the whole text
  const auto some = tiny.evaluate(dataset, {.sequence_length = 8, .max_tokens = 24});
  EXPECT_NEAR(*some.bits_per_byte, 4.0 * 24 / (160 * 25.0 / 50), 1e-6);  // of the 25 tokens that were read
  const auto stated = set_result(result);
  EXPECT_NEAR(*stated.perplexity, 16.0, 1e-4);
  EXPECT_EQ(stated.tokens, 49);
  EXPECT_EQ(stated.routing.size(), 2u);
  EXPECT_GE(stated.routing.at(0).mri, 0.5);  // k / E
}

TEST(Evaluate, WithoutBytesThereIsNoBitsPerByte) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 20));
  const auto result = Tiny().evaluate(dataset, {.sequence_length = 8});
  EXPECT_FALSE(result.bits_per_byte.has_value());
  EXPECT_FALSE(set_result(result).bits_per_byte);
}

// 49 scored tokens in windows of 8: five of 8, and one with the token that is left over. A window alone has the loss of
// its cluster; the formula is spelt out.
TEST(Evaluate, TheStandardErrorIsThatOfFewWindows) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  const Tiny tiny;
  const auto result = tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = 4});
  ASSERT_EQ(result.blocks.tokens, (std::vector<int64_t>{8, 8, 8, 8, 8, 9}));
  const auto first = tiny.evaluate(dataset, {.sequence_length = 8, .max_tokens = 8});
  EXPECT_NEAR(result.blocks.means[0], first.loss, 1e-6);  // fp32 products of another shape
  EXPECT_FALSE(first.loss_se().has_value());              // one window says nothing of others
  EXPECT_FALSE(set_result(first).loss_se);
  EXPECT_NEAR(analysis::mean_of(result.blocks), result.loss, 1e-12);
  double squares = 0;
  for (size_t w = 0; w < 6; ++w)
    squares += std::pow(static_cast<double>(result.blocks.tokens[w]) * (result.blocks.means[w] - result.loss), 2);
  EXPECT_NEAR(*result.loss_se(), std::sqrt(6.0 / 5 * squares) / 49, 1e-12);
  const auto stated = set_result(result);
  EXPECT_EQ(stated.loss_se, result.loss_se());
  EXPECT_EQ(stated.loss_blocks->size(), 6U);
  EXPECT_EQ(stated.loss_blocks->means[5], result.blocks.means[5]);
}

TEST(Evaluate, DocumentsTakeThePlaceOfWindowsWhereTheyAreSeparate) {
  const TemporaryFolder folder;
  const std::string prefix = (folder / "held").string();
  data::IndexedDatasetWriter writer(prefix, testing::kTinyVocabulary);
  for (const int n_tokens : {5, 20, 3, 12}) {  // the second lies in four windows
    std::vector<int32_t> ids(static_cast<size_t>(n_tokens));
    for (size_t i = 0; i < ids.size(); ++i)
      ids[i] = static_cast<int32_t>((7 * i + static_cast<size_t>(n_tokens)) % testing::kTinyVocabulary);
    writer.add_document(ids);
  }
  writer.commit();
  const auto dataset = data::IndexedDataset::open(prefix);
  const Tiny tiny;
  const EvalOptions options{.sequence_length = 8, .batch_size = 2, .separate_documents = true};
  const auto result = tiny.evaluate(dataset, options);
  EXPECT_EQ(result.blocks.tokens, (std::vector<int64_t>{5, 20, 3, 11}));  // the last token has no target
  EXPECT_NEAR(analysis::mean_of(result.blocks), result.loss, 1e-12);
  auto first = options;
  first.max_tokens = 5;
  EXPECT_NEAR(result.blocks.means[0], tiny.evaluate(dataset, first).loss, 1e-6);
}

// 100 windows are 10 blocks of 10, whatever the batches: those of the losses and those of the MRI's bootstrap.
TEST(Evaluate, NeighbouringWindowsOfALongTextAreBlocks) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 801));
  const Tiny tiny;
  const auto result = tiny.evaluate(dataset, {.sequence_length = 8, .batch_size = 7});
  EXPECT_EQ(result.block_size, 10);
  EXPECT_EQ(result.blocks.tokens, std::vector<int64_t>(10, 80));
  const auto first = tiny.evaluate(dataset, {.sequence_length = 8, .max_tokens = 80});
  EXPECT_NEAR(result.blocks.means[0], first.loss, 1e-6);  // fp32 products of another shape
  EXPECT_NEAR(analysis::mean_of(result.blocks), result.loss, 1e-12);
  EXPECT_EQ(set_result(result).loss_blocks->means, result.blocks.means);

  MriBootstrap mri;
  data::WindowReader reader(dataset, 8, 0, false);
  int64_t window = 0;
  for (auto batch = reader.next(1); batch.tokens.size(0) > 0; batch = reader.next(1), ++window) {
    auto input = model::input_of(batch);
    input.mode = moe::Mode::eval;
    mri.add(tiny.model.forward(tiny.params, tiny.model.initial_router_states(), input).routing,
            std::vector<int64_t>(8, window / 10));
  }
  EXPECT_EQ(result.mri_se.value(), mri.of_mean().value());
  EXPECT_EQ(result.layer_mri_se, mri.of_layers());
  EXPECT_EQ(set_result(result).routing.at(1).mri_se, mri.of_layers().at(1));
}

TEST(Evaluate, NeighbouringDocumentsAreBlocksToo) {
  const TemporaryFolder folder;
  const std::string prefix = (folder / "held").string();
  data::IndexedDatasetWriter writer(prefix, testing::kTinyVocabulary);
  for (int i = 0; i < 8; ++i) writer.add_document(std::vector<int32_t>(static_cast<size_t>(3 + i), i));  // 3, 4, … 10
  writer.commit();
  const auto dataset = data::IndexedDataset::open(prefix);
  const EvalOptions options{.sequence_length = 8, .batch_size = 2, .separate_documents = true};
  EXPECT_EQ(Tiny().evaluate(dataset, options).blocks.tokens, (std::vector<int64_t>{7, 11, 15, 18}));
}

TEST(Evaluate, WindowsThatAreRoutedTogetherAreOneCluster) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  const auto result = Tiny().evaluate(dataset, {.sequence_length = 8, .batch_size = 4, .mode = moe::Mode::train});
  EXPECT_EQ(result.blocks.tokens, (std::vector<int64_t>{32, 17}));  // four windows of 8; two of them and one of 1
}

// A token or two after the last whole window are no cluster of their own: there would be an error of next to nothing.
TEST(Evaluate, AShortRestIsPartOfTheLastBlock) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  const auto tokens = [&](int64_t most) {
    return Tiny().evaluate(dataset, {.sequence_length = 8, .max_tokens = most}).blocks.tokens;
  };
  EXPECT_EQ(tokens(9), (std::vector<int64_t>{9}));
  EXPECT_EQ(tokens(11), (std::vector<int64_t>{11}));
  EXPECT_EQ(tokens(12), (std::vector<int64_t>{8, 4}));
  EXPECT_EQ(tokens(18), (std::vector<int64_t>{8, 10}));
  EXPECT_FALSE(Tiny().evaluate(dataset, {.sequence_length = 8, .max_tokens = 9}).loss_se());
}

TEST(Evaluate, StopsAtTheBoundOnTokens) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  const auto result = Tiny().evaluate(dataset, {.sequence_length = 8, .max_tokens = 21});
  EXPECT_EQ(result.n_tokens, 21);
  EXPECT_EQ(result.routing[0].n_tokens, 21);
}

TEST(Evaluate, RefusesASetWithNothingToScore) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 1));
  EXPECT_THAT(message_of<DataError>([&] { Tiny().evaluate(dataset, {.sequence_length = 8}); }),
              HasSubstr("got 1 tokens; need at least 2"));
}

// Each checkpoint is run with its own state: the same parameters choose otherwise once a bias has moved.
TEST(Saturation, SeesTheRouterStatesOfBoth) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  const Tiny tiny({"model.n_layers=1", "model.balance={loss = []}", "model.router={kind = \"loss_free\"}"});
  const EvalOptions options{.sequence_length = 8, .batch_size = 4};
  const auto before = tiny.model.initial_router_states(), after = tiny.model.initial_router_states();
  const auto favoured = at::tensor({0.0, 10.0, 0.0, 10.0});  // experts 1 and 3, whatever the logits
  after[0].at("bias").copy_(favoured);
  const auto rows = evaluate_saturation(tiny.model, {{tiny.params, before}, {tiny.params, after}}, dataset, options);
  const auto choice = evaluate(tiny.model, {tiny.params, after}, dataset, options).routing[0].tokens_per_expert;
  EXPECT_EQ(choice, (std::vector<int64_t>{0, 49, 0, 49}));
  for (const auto& row : rows) EXPECT_LT(row.saturation, 0.95) << row.k;
  for (const auto& row :
       evaluate_saturation(tiny.model, {{tiny.params, after}, {tiny.params, after}}, dataset, options))
    EXPECT_NEAR(row.saturation, 1.0, 1e-12);
}

TEST(Saturation, IsOneForTheSameAndZeroForOppositeRouters) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  const Tiny tiny({"model.n_layers=1"});
  const auto states = tiny.model.initial_router_states();
  const EvalOptions options{.sequence_length = 8, .batch_size = 4};
  const auto same = evaluate_saturation(tiny.model, {{tiny.params, states}, {tiny.params, states}}, dataset, options);
  ASSERT_EQ(same.size(), 2u);
  EXPECT_EQ(same[0].k, 1);
  EXPECT_EQ(same[1].k, 2);
  EXPECT_EQ(same[0].chance, 0.25);
  EXPECT_EQ(same[1].chance, 0.5);
  for (const auto& row : same) EXPECT_NEAR(row.saturation, 1.0, 1e-12);

  // The best two of the negated logits are the worst two of the logits.
  auto opposite = clone(tiny.params);
  opposite.at("layers.0.router.weight").neg_();
  for (const auto& row : evaluate_saturation(tiny.model, {{tiny.params, states}, {opposite, states}}, dataset, options))
    EXPECT_EQ(row.saturation, 0.0);
}

// Experts 0 and 1 trade their names: of the two best, those pairs that are {0, 1} or {2, 3} stay.
TEST(Saturation, ByHandWhenTwoExpertsTradeNames) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 50));
  const Tiny tiny({"model.n_layers=1"});
  const auto states = tiny.model.initial_router_states();
  auto traded = clone(tiny.params);
  const auto rows = tiny.params.at("layers.0.router.weight");
  traded.at("layers.0.router.weight")[0].copy_(rows[1]);
  traded.at("layers.0.router.weight")[1].copy_(rows[0]);

  double best = 0, both = 0;
  data::WindowReader reader(dataset, 8, 0, false);
  for (auto batch = reader.next(1); batch.tokens.size(0) > 0; batch = reader.next(1)) {
    model::ModelInput input;
    input.tokens = batch.tokens;
    input.mode = moe::Mode::eval;
    const auto ids = tiny.model.forward(tiny.params, states, input).routing[0].expert_ids.contiguous();
    const int64_t* expert = ids.const_data_ptr<int64_t>();
    for (int64_t t = 0; t < batch.tokens.numel(); ++t) {
      const int64_t first = expert[2 * t], second = expert[2 * t + 1];
      best += first >= 2 ? 1 : 0;
      both += (first < 2) == (second < 2) ? 1.0 : 0.5;  // of a mixed pair only the 2 or 3 stays
    }
  }
  ASSERT_GT(best, 0);
  ASSERT_LT(both, 49);
  const auto rows_of = evaluate_saturation(tiny.model, {{tiny.params, states}, {traded, states}}, dataset,
                                           {.sequence_length = 8, .batch_size = 4});
  EXPECT_NEAR(rows_of[0].saturation, best / 49, 1e-12);
  EXPECT_NEAR(rows_of[1].saturation, both / 49, 1e-12);
}

TEST(Saturation, OneRowALayerAtTopOneAndNoneForDenseModels) {
  const TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "held", 20));
  const Tiny top_one({"model.top_k=1"});
  const auto top_one_states = top_one.model.initial_router_states();
  EXPECT_EQ(evaluate_saturation(top_one.model, {{top_one.params, top_one_states}, {top_one.params, top_one_states}},
                                dataset, {.sequence_length = 8})
                .size(),
            2u);
  const Tiny dense(testing::kTinyDense);
  EXPECT_TRUE(
      evaluate_saturation(dense.model, {{dense.params, {}}, {dense.params, {}}}, dataset, {.sequence_length = 8})
          .empty());
}

}  // namespace
}  // namespace evenkeel::train
