// A new kind of attention is one file (mean.cpp) and one line of the registry: with them, and nothing else, it is read,
// listed, counted, estimated, trained, saved and resumed.
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

#include "golden/golden.h"
#include "model/attention/attention.h"
#include "model/init.h"
#include "model/layout.h"
#include "model/transformer.h"
#include "study/recipe_keys.h"
#include "support/gradients.h"
#include "support/trained_runs.h"
#include "train/memory.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

const std::string kMean = "model.attention={kind = \"mean\", gain = 2.0}";

class NewAttention : public testing::RunTest {};

TEST_F(NewAttention, IsReadListedAndWritten) {
  const auto chosen = config({kMean}).model;
  EXPECT_EQ(model::model_config_json(chosen).at("attention").dump(), R"({"kind":"mean","gain":2})");
  EXPECT_EQ(model::model_config_json(model::model_config_from_json(model::model_config_json(chosen), "json")),
            model::model_config_json(chosen));
  EXPECT_THAT(message_of<ConfigError>([&] { config({"model.attention={kind = \"men\"}"}); }),
              HasSubstr("need one of: grouped, mean, latent"));
  EXPECT_THAT(message_of<ConfigError>([&] { config({"model.attention={kind = \"mean\", gian = 1.0}"}); }),
              HasSubstr("did you mean 'gain'"));
  EXPECT_THAT(message_of<ConfigError>([&] { config({"model.attention={kind = \"mean\", gain = 0.0}"}); }),
              HasSubstr("model.attention.gain = 0; need more than 0"));
  const auto keys = matching_keys(study::recipe_keys(), "model.attention.gain");
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(shown_kinds(keys[0]), "mean");
}

TEST_F(NewAttention, IsCountedAndEstimated) {
  const auto grouped = config(), mean = config({kMean});
  // H = 8 in both of two layers: two matrices instead of four, and no product of length S.
  EXPECT_EQ(model::count_parameters(grouped.model).total - model::count_parameters(mean.model).total, 2 * 2 * 8 * 8);
  EXPECT_EQ(model::forward_flops_per_token(grouped.model, 8) - model::forward_flops_per_token(mean.model, 8),
            2 * (2.0 * 2 * 8 * 8 + 2.0 * 8 * 8));
  EXPECT_EQ(model::cache_floats(mean.model, 100), 2 * 8);
  const auto of_grouped = estimate_memory(grouped), of_mean = estimate_memory(mean);
  EXPECT_LT(of_mean.activations, of_grouped.activations);
  EXPECT_EQ(of_grouped.parameters - of_mean.parameters, 4 * 2 * 2 * 8 * 8);
}

TEST_F(NewAttention, PassesTheModelWithTrueGradients) {
  const auto chosen = config({kMean, "model.n_layers=1"}).model;
  const model::Transformer model(chosen);
  const auto start = model::init_params(chosen, 3);
  const auto x = testing::random_tensor({1, 3, 8}, 4), value = testing::random_tensor({8, 8}, 5),
             out = testing::random_tensor({8, 8}, 6);
  const auto attention = model::make_attention(chosen, 0);
  const model::ModelInput input{.tokens = at::zeros({1, 3}, at::kLong)};
  const std::vector<ops::Params> states;
  const model::Pass pass(input, states, {}, at::kDouble);
  const auto result = attention->forward(std::vector<at::Tensor>{value, out}, x, pass);
  const auto by_hand = at::linear(at::linear((x[0][0] + x[0][1]) / 2.0 * 2.0, value), out);
  testing::expect_close(result[0][1], by_hand, 1e-13, 1e-13, "position 1");  // fp64 sums of 8
  const auto weight = testing::random_tensor({1, 3, 8}, 7);
  testing::expect_gradients(
      [&](const auto& in) {
        return (attention->forward(std::vector<at::Tensor>{in[1], in[2]}, in[0], pass) * weight).sum();
      },
      {x, value, out});
  EXPECT_EQ(start.at("layers.0.attention.value.weight").sizes(), (at::IntArrayRef{8, 8}));
  EXPECT_EQ(model.forward(start, model.initial_router_states(), input).hidden.sizes(), (at::IntArrayRef{3, 8}));
}

// It takes no mask, so that it could not keep documents apart: a recipe that asks for that is refused.
TEST_F(NewAttention, IsNotAskedForWhatItCannotDo) {
  EXPECT_FALSE(model::takes_masks(config({kMean}).model));
  EXPECT_THAT(message_of<ConfigError>([&] {
                config({kMean, "train.separate_documents=true"});
              }),
              ::testing::AllOf(HasSubstr("train.separate_documents = true; need false"), HasSubstr("takes no mask")));
}

TEST_F(NewAttention, TrainsIsSavedAndResumes) {
  EXPECT_EQ(train("whole", {kMean}), TrainOutcome::finished);
  auto stopped = options("stopped");
  stopped.keep_steps = {4};
  train_run(config({kMean}), stopped);
  for (const int64_t step : {6, 10}) std::filesystem::remove_all(checkpoint("stopped", step));
  train("stopped", {kMean}, /*resume=*/true);
  EXPECT_EQ(timeless_lines("stopped"), timeless_lines("whole"));
  EXPECT_EQ(read_file(checkpoint("stopped", 10) / "model.safetensors"),
            read_file(checkpoint("whole", 10) / "model.safetensors"));
}

}  // namespace
}  // namespace evenkeel::train
