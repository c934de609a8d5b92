#include "checkpoint/router_states.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/safetensors.h"
#include "core/errors.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::checkpoint {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::same_bits;
using testing::TemporaryFolder;

// Layers 0 and 2 of three have experts.
model::Transformer model_with(const std::string& router, int64_t top_k = 2) {
  const std::string keys =
      "vocab_size = 11\nd_model = 8\nn_layers = 3\nn_heads = 2\nd_ff = 4\nn_experts = 4\nd_expert = 3\nmoe_layers = "
      "[0, 2]\ntop_k = " +
      std::to_string(top_k) + "\nrouter = {kind = \"" + router + "\"}";
  return model::Transformer(model::read_model_config(parse_toml(keys, "recipe.toml", "")));
}

void write_states(const TemporaryFolder& folder, const std::vector<ops::Params>& states) {
  NamedTensors tensors = {{"first.embedding.weight", at::zeros({11, 8}, at::kFloat)}};
  for (size_t index = 0; index < states.size(); ++index)
    for (const auto& [name, tensor] : states[index]) tensors.emplace_back(router_state_name(index, name), tensor);
  write_safetensors(folder / "optimizer.safetensors", tensors, {});
}

TEST(RouterStates, ComeBackAsTheyWereWithTheirTypes) {
  for (const std::string router : {"loss_free", "quantile", "hash", "sinkhorn"}) {
    const TemporaryFolder folder;
    const auto model = model_with(router, /*top_k=*/1);
    auto states = model.initial_router_states();
    int64_t number = 0;
    for (auto& state : states)
      for (const auto& [name, tensor] : state) tensor.fill_(++number);
    write_states(folder, states);
    const auto loaded = read_router_states(folder.path(), model);
    ASSERT_EQ(loaded.size(), 2u);
    for (size_t layer = 0; layer < 2; ++layer) {
      ASSERT_EQ(loaded[layer].size(), states[layer].size());
      for (const auto& [name, tensor] : states[layer])
        EXPECT_TRUE(same_bits(loaded[layer].at(name), tensor)) << router << " " << name;
    }
  }
}

TEST(RouterStates, OfAnotherShapeTypeOrNoneAreRefused) {
  const auto model = model_with("loss_free");
  const auto message_with = [&](const char* changed, const at::Tensor& value) {
    const TemporaryFolder folder;
    auto states = model.initial_router_states();
    ops::Params other;
    for (const auto& [name, tensor] : states[1])
      if (name != changed || value.defined()) other.add(name, name == changed ? value : tensor);
    states[1] = other;
    write_states(folder, states);
    return message_of<CheckpointError>([&] { read_router_states(folder.path(), model); });
  };
  EXPECT_THAT(message_with("bias", at::zeros({5}, at::kFloat)),
              HasSubstr("optimizer.safetensors: got 'router_state.1.bias' Float [5]; need Float [4]"));
  EXPECT_THAT(message_with("tokens", at::zeros({1}, at::kFloat)),
              HasSubstr("got 'router_state.1.tokens' Float [1]; need Long [1]"));
  EXPECT_THAT(message_with("bias", {}), HasSubstr("router_state.1.bias"));
}

// Nothing is looked for where the router has no state: a folder without the file will do.
TEST(RouterStates, OfARouterWithoutAnyAreEmpty) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_router_states(folder.path(), model_with("top_k")).size(), 2u);
}

TEST(RouterStates, OfAHuggingFaceFolderAreThoseOfABeginning) {
  const auto model = model_with("loss_free");
  ModelSource source;
  source.kind = "olmoe";
  const auto states = load_router_states(source, model);
  ASSERT_EQ(states.size(), 2u);
  EXPECT_TRUE(same_bits(states[1].at("bias"), at::zeros({4}, at::kFloat)));
}

}  // namespace
}  // namespace evenkeel::checkpoint
