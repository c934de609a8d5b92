// Each detour by what it promises: the model after it, with its tensors changed, gives the logits of the model before.
#include "checkpoint/families/detours.h"

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "checkpoint/families.h"
#include "core/errors.h"
#include "model/layout.h"
#include "model/transformer.h"
#include "support/gradients.h"

namespace evenkeel::checkpoint {
namespace {

model::ModelConfig config_of(const std::string& more) {
  return model::read_model_config(
      parse_toml("vocab_size = 11\nd_model = 16\nn_layers = 2\nn_heads = 2\nd_ff = 5\n" + more, "m.toml", ""));
}
const std::string kExperts = "n_experts = 4\ntop_k = 2\nd_expert = 6\n";

// `family`: one whose rules cut the tensors that the detour changes.
at::Tensor after_detour(const char* name, const char* family, const model::ModelConfig& config,
                        const ops::Params& params, model::ModelConfig& foreign) {
  const Detour& detour = detour_named(name, "test");
  foreign = config;
  EXPECT_TRUE(detour.apply(foreign));
  if (auto* scaling = std::get_if<ops::LongropeScaling>(&foreign.rope_scaling.value)) scaling->original_length = 64;
  ops::Params changed;
  for (const auto& tensor : tensors_of(foreign)) {
    if (tensor.is_state()) continue;
    const auto* own = params.find(tensor.name);
    auto value = own != nullptr ? own->clone() : at::zeros(tensor.shape, at::kDouble);
    auto layouts = layouts_of(family_named(family, ""), foreign, tensor);
    for (auto& piece : layouts.at(0)) {
      if (own == nullptr || detour.change == nullptr) continue;
      detour.change(config, split_layer(tensor.name).first, piece);
      const auto place = piece.expert < 0 ? value : value.select(0, piece.expert);
      auto rows = place.narrow(0, piece.row, piece.shape[0]);
      EXPECT_TRUE(at::equal(to_own(to_foreign(rows, piece), piece), rows)) << piece.name;  // undone exactly
      rows.copy_(to_foreign(rows, piece).clone());
    }
    changed.add(tensor.name, value);
  }
  const model::Transformer model(foreign);
  const model::ModelInput input{.tokens = testing::random_ids(24, 11, 7).view({2, 12}), .mode = moe::Mode::eval};
  return model.forward(changed, model.initial_router_states(), input).hidden;
}

void expect_same(const char* name, const char* family, const std::string& more, double tolerance) {
  SCOPED_TRACE(std::string(name) + " " + more);
  const auto config = config_of(more);
  ops::Params params;
  for (const auto& spec : model::parameter_table(config))
    params.add(spec.name, testing::random_tensor(spec.shape, params.size() + 1, 0.4));
  const model::Transformer model(config);
  const model::ModelInput input{.tokens = testing::random_ids(24, 11, 7).view({2, 12}), .mode = moe::Mode::eval};
  const auto need = model.forward(params, model.initial_router_states(), input).hidden;
  model::ModelConfig foreign;
  const auto got = after_detour(name, family, config, params, foreign);
  EXPECT_LE((got - need).abs().max().item<double>(), tolerance);
  EXPECT_NE(model::model_config_json(foreign).dump(), model::model_config_json(config).dump());
}

TEST(Detours, GiveTheSameLogits) {
  // In fp64: 1e-12 is the rounding of other orders of sums; the divisor 1e30 turns no pair by more.
  constexpr double kRounding = 1e-12;
  expect_same("halves", "llama", "rope_pairs = \"interleaved\"", kRounding);
  expect_same("halves", "llama", "rope_pairs = \"interleaved\"\nrotary_fraction = 0.5\nattention = {qkv_bias = true}",
              kRounding);
  expect_same("longrope", "llama", "rotary_fraction = 0.25", kRounding);
  expect_same("longrope", "qwen3_moe", kExperts + "rotary_fraction = 0.5\nqk_norm = \"per_head\"", kRounding);
  expect_same("longrope", "olmoe", kExperts + "rotary_fraction = 0.75\nqk_norm = true\nn_kv_heads = 1", kRounding);
  expect_same("scale", "llama", "head_dim = 4\nattention = {scale = 2.0}", kRounding);
  expect_same("scale", "olmoe", kExperts + "head_dim = 4\nqk_norm = true\nattention = {scale = 0.125}", kRounding);
  expect_same("shared_gate", "qwen2_moe", kExperts + "n_shared_experts = 2", kRounding);
  expect_same("no_shared", "qwen2_moe", kExperts, kRounding);
  expect_same("zero_bias", "glm4_moe", kExperts + "router = {score = \"sigmoid\", renormalize = true}", kRounding);
}

TEST(Detours, AreTakenOnlyWhereTheyChangeSomething) {
  for (const auto& detour : detours()) {
    auto plain = config_of("");
    EXPECT_FALSE(detour.apply(plain)) << detour.name;
  }
  auto inexact = config_of("attention = {scale = 0.3}");
  EXPECT_FALSE(detour_named("scale", "").apply(inexact));  // no power of 2
  auto clipped = config_of("head_dim = 4\nattention = {scale = 2.0, clip = 3.0}");
  EXPECT_FALSE(detour_named("scale", "").apply(clipped));  // the clip would act on other values
  EXPECT_THROW(detour_named("magic", "evenkeel.json"), CheckpointError);
}

}  // namespace
}  // namespace evenkeel::checkpoint
