#include "model/transformer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "model/init.h"
#include "model/layout.h"
#include "moe/balance_loss.h"
#include "ops/cross_entropy.h"
#include "optim/gradient_norm.h"
#include "optim/optimizer.h"
#include "support/gradients.h"
#include "support/held_weights.h"

namespace evenkeel::model {
namespace {

using testing::expect_close;

struct Losses {
  at::Tensor loss, cross_entropy, balance, z;
  ModelOutput output;
};

// One step's loss as training puts it together: cross-entropy over the targets, then balance and z.
Losses losses_of(const Transformer& model, const ops::Params& params, const ModelInput& input,
                 const at::Tensor& targets) {
  Losses out;
  out.output = model.forward(params, model.initial_router_states(), input);
  out.cross_entropy = ops::cross_entropy_sum(out.output.hidden, model.head(params), targets.reshape({-1})) /
                      static_cast<double>(targets.numel());
  out.loss = out.cross_entropy;
  if (out.output.routing.empty()) return out;
  out.balance = moe::balance_loss({.loss = "switch"}, {out.output.routing});
  out.z = moe::z_loss(out.output.routing, false);
  const auto& config = model.config().balance;
  out.loss = out.loss + out.balance * config.terms.at(0).coefficient + out.z * config.z_coefficient;
  return out;
}

ModelConfig golden_config(const Json& json) { return model_config_from_json(json, "golden"); }

ops::Params golden_params(const ModelConfig& config, const Json& json, at::ScalarType dtype) {
  ops::Params params;
  for (const auto& spec : parameter_table(config)) {
    const auto tensor = testing::tensor_of(json.at(spec.name)).to(dtype);
    EXPECT_EQ(tensor.sizes(), at::IntArrayRef(spec.shape)) << spec.name;
    params.add(spec.name, tensor.requires_grad_(true));
  }
  EXPECT_EQ(params.size(), json.size());
  return params;
}

std::vector<at::Tensor> gradients_of(const at::Tensor& loss, const ops::Params& params) {
  std::vector<at::Tensor> leaves;
  for (const auto& [name, tensor] : params) leaves.push_back(tensor);
  return torch::autograd::grad({loss}, leaves, {}, std::nullopt, false, /*allow_unused=*/true);
}

void check_routing(const std::vector<moe::RoutingDecision>& routing, const Json& need, double rtol, double atol) {
  ASSERT_EQ(routing.size(), need.size());
  for (size_t i = 0; i < routing.size(); ++i) {
    EXPECT_EQ(routing[i].layer, need.at(i).at("layer").as_int());
    expect_close(routing[i].logits, testing::tensor_of(need.at(i).at("router_logits")), rtol, atol, "router logits");
    const int64_t k = routing[i].top_k;
    EXPECT_TRUE(testing::same_bits(routing[i].expert_ids.view({-1, k}), testing::ids_of(need.at(i).at("expert_ids"))));
    expect_close(routing[i].weights.view({-1, k}), testing::tensor_of(need.at(i).at("weights")), rtol, atol, "weights");
  }
}

void check_golden(const std::string& file, at::ScalarType dtype, double rtol, double atol) {
  const auto golden = testing::read_golden(file);
  const Transformer model(golden_config(golden.inputs.at("config")));
  const auto params = golden_params(model.config(), golden.inputs.at("parameters"), dtype);
  ModelInput input;
  input.tokens = testing::ids_of(golden.inputs.at("input_ids"));
  if (const Json* documents = golden.inputs.find("document_ids"))
    input.document_ids = testing::ids_of(*documents).to(at::kInt);
  const auto got = losses_of(model, params, input, testing::ids_of(golden.inputs.at("target_ids")));
  const auto& need = golden.outputs;

  const auto logits =
      at::linear(got.output.hidden, model.head(params)).view({input.tokens.size(0), input.tokens.size(1), -1});
  expect_close(logits, testing::tensor_of(need.at("logits")), rtol, atol, "logits");
  check_routing(got.output.routing, need.at("routing"), rtol, atol);
  expect_close(got.loss.item<double>(), need.at("loss").as_double(), rtol, atol, "loss");
  expect_close(got.cross_entropy.item<double>(), need.at("cross_entropy").as_double(), rtol, atol, "cross-entropy");
  if (got.balance.defined()) {
    expect_close(got.balance.item<double>(), need.at("balance").as_double(), rtol, atol, "balance");
    expect_close(got.z.item<double>(), need.at("z").as_double(), rtol, atol, "z");
  }
  const auto gradients = gradients_of(got.loss, params);
  size_t i = 0;
  for (const auto& [name, tensor] : params) {
    ASSERT_TRUE(gradients[i].defined()) << name;
    expect_close(gradients[i++], testing::tensor_of(need.at("gradients").at(name)), rtol, atol, name);
  }
}

class GoldenModel : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenModel, MatchesInFp64) { check_golden(GetParam(), at::kDouble, 1e-10, 1e-12); }  // 12 digits are written
TEST_P(GoldenModel, MatchesInFp32) {
  const auto golden = testing::read_golden(GetParam());
  check_golden(GetParam(), at::kFloat, golden.rtol, golden.atol);
}
INSTANTIATE_TEST_SUITE_P(Tiny, GoldenModel,
                         ::testing::Values("tiny_moe.json", "tiny_moe_switch.json", "tiny_dense.json"),
                         [](const auto& test) {
                           return std::string(test.param).substr(0, std::string(test.param).find('.'));
                         });

void check_ten_losses(at::ScalarType dtype, double rtol, double atol) {
  const auto golden = testing::read_golden("ten_losses.json");
  const Transformer model(golden_config(golden.inputs.at("config")));
  const auto params = golden_params(model.config(), golden.inputs.at("parameters"), dtype);
  const auto optimizer =
      optim::make_optimizer({optim::forms_of(params)}, config_from_json(golden.inputs.at("optimizer"), "golden"));
  EXPECT_EQ(optimizer->options(), golden.inputs.at("optimizer"));
  auto state = optim::initial_optimizer_state(*optimizer, params);
  const auto& batches = golden.inputs.at("batches").as_array();
  for (size_t step = 0; step < batches.size(); ++step) {
    ModelInput input;
    input.tokens = testing::ids_of(batches[step].at("input_ids"));
    const auto losses = losses_of(model, params, input, testing::ids_of(batches[step].at("target_ids")));
    auto gradients = gradients_of(losses.loss, params);
    const double norm = optim::gradient_norm(gradients);
    optim::clip_gradients(gradients, norm, optimizer->clip_norm());
    optimizer->update({golden.inputs.at("lr").as_double(), {}}, params, gradients, state);
    const auto check = [&](const char* key, double got) {
      expect_close(got, golden.outputs.at(key).at(step).as_double(), rtol, atol,
                   std::string(key) + " of step " + std::to_string(step));
    };
    check("loss", losses.loss.item<double>());
    check("cross_entropy", losses.cross_entropy.item<double>());
    check("balance", losses.balance.item<double>());
    check("z", losses.z.item<double>());
    check("grad_norm", norm);
  }
  for (const auto& [name, tensor] : params) {
    const auto& need = golden.outputs.at("final_parameters").at(name);
    const auto wide = tensor.detach().to(at::kDouble);
    expect_close(wide.sum().item<double>(), need.at("sum").as_double(), rtol, std::max(atol, rtol * 100),
                 name + " sum");
    expect_close((wide * wide).sum().item<double>(), need.at("sum_of_squares").as_double(), rtol,
                 std::max(atol, rtol * 100), name + " squares");
  }
}

TEST(TenLosses, MatchInFp64) {
  check_ten_losses(at::kDouble, 1e-9, 1e-11);
}  // 12 digits; ten steps of AdamW widen them
TEST(TenLosses, MatchInFp32) {
  const auto golden = testing::read_golden("ten_losses.json");
  check_ten_losses(at::kFloat, golden.rtol, golden.atol);
}

ModelConfig small_config(const std::string& extra = "") {
  return read_model_config(parse_toml(
      "vocab_size = 20\nd_model = 8\nn_layers = 2\nn_heads = 2\nn_experts = 4\ntop_k = 2\nd_expert = 6\n" + extra, "m",
      ""));
}
ModelInput small_input(int64_t B, int64_t S) {
  ModelInput input;
  input.tokens = testing::random_ids(B * S, 20, 1).view({B, S});
  return input;
}

TEST(Transformer, BalanceAndZAloneReachEveryRouter) {
  for (const std::string router : {"top_k", "sinkhorn"}) {
    const Transformer model(small_config("router = {kind = \"" + router + "\"}"));
    auto params = init_params(model.config(), 1);
    for (const auto& [name, tensor] : params) tensor.requires_grad_(true);
    const auto output = model.forward(params, model.initial_router_states(), small_input(2, 5));
    ASSERT_EQ(output.routing.size(), 2u);
    std::vector<at::Tensor> losses = {moe::z_loss(output.routing, false), output.hidden.square().sum()};
    for (const auto& kind : moe::balance_loss_kinds()) losses.push_back(kind.compute(output.routing));
    for (const auto& loss : losses)
      for (const auto* name : {"layers.0.router.weight", "layers.1.router.weight"}) {
        const auto gradient = torch::autograd::grad({loss}, {params.at(name)}, {}, /*retain_graph=*/true)[0];
        EXPECT_GT(gradient.abs().max().item<double>(), 0.0) << name;
      }
  }
}

// Granite's factors: on the embeddings, and a divisor of the logits, which the head makes of the hidden states.
TEST(Transformer, MultipliesEmbeddingsAndDividesLogits) {
  const Transformer plain(small_config()), scaled(small_config("embedding_multiplier = 3.0\nlogits_scaling = 4.0"));
  const auto params = init_params(plain.config(), 2);
  ops::Params tripled;
  for (const auto& [name, tensor] : params) tripled.add(name, name == "embedding.weight" ? tensor * 3.0 : tensor);
  const auto need = plain.forward(tripled, plain.initial_router_states(), small_input(2, 6)).hidden / 4.0;
  EXPECT_TRUE(
      testing::same_bits(scaled.forward(params, scaled.initial_router_states(), small_input(2, 6)).hidden, need));
}

// A layer that has a window of its own, beside one that sees all.
TEST(Transformer, GivesEachLayerTheMaskOfItsSight) {
  const Transformer whole(small_config()), windowed(small_config("attention = {window = 2, window_layers = [1]}"));
  const auto params = init_params(whole.config(), 2);
  const auto hidden = [&](const Transformer& model, const ModelInput& input) {
    return model.forward(params, model.initial_router_states(), input).hidden.view({1, 6, 8});
  };
  const auto input = small_input(1, 6);
  const auto far = hidden(whole, input), near = hidden(windowed, input);
  EXPECT_TRUE(testing::same_bits(far.narrow(1, 0, 2), near.narrow(1, 0, 2)));
  EXPECT_FALSE(testing::same_bits(far.narrow(1, 2, 4), near.narrow(1, 2, 4)));
}

TEST(Transformer, KnowsTheMatricesOfItsRouters) {
  const Transformer model(small_config("moe_layers = [1]\nd_ff = 5"));
  const auto params = init_params(model.config(), 1);
  ASSERT_TRUE(model.router_matrix(0).has_value());
  EXPECT_EQ(params.name(*model.router_matrix(0)), "layers.1.router.weight");
  const Transformer without(small_config("router = {kind = \"uniform\"}\nbalance = {loss = []}"));
  EXPECT_FALSE(without.router_matrix(1).has_value());
}

TEST(Transformer, SplittingTheBatchChangesNothingWithTokenRouters) {
  const Transformer model(small_config());
  const auto params = init_params(model.config(), 2);
  const auto input = small_input(4, 6);
  const auto whole = model.forward(params, model.initial_router_states(), input).hidden.view({4, 6, 8});
  for (int64_t b = 0; b < 4; ++b) {
    ModelInput part = input;
    part.tokens = input.tokens.narrow(0, b, 1);
    const auto hidden = model.forward(params, model.initial_router_states(), part).hidden;
    expect_close(hidden, whole[b], 1e-5, 1e-5, "sequence");  // fp32; GEMMs of other shapes sum in other orders
  }
}

TEST(Transformer, PassesPaddingSeedAndStepToTheRouter) {
  const Transformer model(small_config("router = {kind = \"sinkhorn\"}"));
  const auto params = init_params(model.config(), 3);
  auto input = small_input(2, 4);
  input.is_padding = at::zeros({2, 4}, at::kBool);
  input.is_padding[1][3] = true;
  const auto output = model.forward(params, model.initial_router_states(), input);
  EXPECT_TRUE(testing::same_bits(output.routing[0].is_padding, input.is_padding.reshape({-1})));
  EXPECT_EQ(output.routing[1].layer, 1);
  input.mode = moe::Mode::eval;
  const auto plain = model.forward(params, model.initial_router_states(), input);
  const auto& logits = plain.routing[0].logits;
  EXPECT_TRUE(testing::same_bits(plain.routing[0].expert_ids.view({8, 2}).select(1, 0), logits.argmax(1)));
}

TEST(Transformer, HasOneStateForEachMoeLayer) {
  EXPECT_EQ(Transformer(small_config()).initial_router_states().size(), 2u);
  EXPECT_EQ(Transformer(small_config("moe_layers = [1]\nd_ff = 4")).initial_router_states().size(), 1u);
  const Transformer dense(
      read_model_config(parse_toml("vocab_size = 20\nd_model = 8\nn_layers = 2\nn_heads = 2\nd_ff = 6", "m", "")));
  EXPECT_EQ(dense.router(), nullptr);
  EXPECT_TRUE(dense.forward(init_params(dense.config(), 1), {}, small_input(1, 3)).routing.empty());
}

TEST(Transformer, TheHeadIsTheEmbeddingWhenTied) {
  const Transformer model(small_config("tie_embeddings = true"));
  const auto params = init_params(model.config(), 4);
  EXPECT_TRUE(model.head(params).is_same(params.at("embedding.weight")));
}

// Weights that are made when they are used, of several inputs at once: the bits of each input by itself.
TEST(Transformer, PassesStoredWeightsLayerByLayer) {
  const at::NoGradGuard no_grad;
  for (const std::string extra :
       {"router = {jitter = 0.1, jitter_target = \"hidden\"}\nqk_norm = true", "router = {kind = \"sinkhorn\"}\n",
        "router = {kind = \"random\"}\nbalance = {loss = []}\ntie_embeddings = true\nembedding_multiplier = 3.0\n"
        "logits_scaling = 2.0\nattention = {window = 3, window_layers = [1]}"}) {
    const auto config = read_model_config(
        parse_toml("vocab_size = 12\nd_model = 8\nn_layers = 3\nn_heads = 2\nd_ff = 6\nn_experts = 4\ntop_k = 2\n"
                   "d_expert = 5\nd_extra = 7\nn_shared_experts = 1\nmoe_layers = [1, 2]\nexpert_bias = true\n"
                   "activation = \"swiglu_clamped\"\n" +
                       extra,
                   "m.toml", ""));
    const auto params = init_params(config, 5);
    const testing::HeldWeights weights(params);
    const Transformer model(config);
    const auto states = model.initial_router_states();
    const Snapshot held{params, states}, stored{{}, states, &weights};
    std::vector<ModelInput> inputs;
    for (const int64_t n_sequences : {2, 1, 3}) {
      inputs.push_back({.tokens = testing::random_ids(n_sequences * 9, 12, 6).view({n_sequences, 9})});
      inputs.back().seed = static_cast<uint64_t>(n_sequences);
    }
    int64_t n_done = 0;
    const auto got = model.forward_stored(stored, inputs, [&](int64_t n) { EXPECT_EQ(n, ++n_done); });
    EXPECT_EQ(n_done, 9);
    ASSERT_EQ(got.size(), 3u);
    for (size_t i = 0; i < 3; ++i) {
      const auto need = model.forward(params, states, inputs[i]);
      EXPECT_TRUE(testing::same_bits(got[i].hidden, need.hidden)) << i;
      ASSERT_EQ(got[i].routing.size(), 2u);
      for (size_t layer = 0; layer < 2; ++layer) {
        EXPECT_TRUE(testing::same_bits(got[i].routing[layer].expert_ids, need.routing[layer].expert_ids));
        EXPECT_TRUE(testing::same_bits(got[i].routing[layer].weights, need.routing[layer].weights));
        EXPECT_FALSE(got[i].routing[layer].expert_input.defined());
      }
    }
    EXPECT_TRUE(testing::same_bits(model.head(stored), model.head(held)));
    // Every whole parameter once for all inputs, the head once more; no expert but those that have tokens.
    EXPECT_EQ(weights.n_whole("layers.1.attention_norm.weight"), 1);
    EXPECT_EQ(weights.n_whole("embedding.weight"), config.tie_embeddings ? 2 : 1);
    EXPECT_EQ(weights.n_whole("layers.1.experts.down"), 0);
    EXPECT_LE(weights.n_of_experts("layers.1.experts.down"), 3 * 4);
    EXPECT_GT(weights.n_of_experts("layers.1.experts.down"), 3);
  }
}

TEST(Transformer, SaysWhatATokenKeepsBetweenTheLayers) {
  const auto bytes = [](const std::string& layers) {
    return Transformer(small_config("d_ff = 5\nmoe_layers = [" + layers + "]")).bytes_between_layers();
  };
  EXPECT_EQ(bytes("0, 1") - bytes("0"), 4.0 * (4 + 2 * 10));  // logits, and four ids, weight and its order
  EXPECT_EQ(bytes("0"), 4.0 * (8 + 4 + 2 * 10));
}

}  // namespace
}  // namespace evenkeel::model
