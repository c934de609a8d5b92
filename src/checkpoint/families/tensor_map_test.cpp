#include "checkpoint/families/tensor_map.h"

#include <gtest/gtest.h>

#include "model/layout.h"

namespace evenkeel::checkpoint {
namespace {

model::ModelConfig config_of(const std::string& more) {
  return model::read_model_config(parse_toml(
      "vocab_size = 11\nd_model = 8\nn_layers = 2\nn_heads = 4\nn_kv_heads = 2\nd_ff = 5\n" + more, "m.toml", ""));
}

TEST(TensorMap, ListsParametersAndTheBiasesOfRouters) {
  const auto tensors =
      tensors_of(config_of("n_experts = 3\ntop_k = 2\nd_expert = 6\nmoe_layers = [1]\n"
                           "router = {kind = \"loss_free\"}"));
  EXPECT_EQ(tensors.front().name, "embedding.weight");
  EXPECT_FALSE(tensors.front().is_state());
  EXPECT_EQ(tensors.back().name, "layers.1.router_state.bias");
  EXPECT_TRUE(tensors.back().is_state());
  EXPECT_EQ(tensors.back().shape, std::vector<int64_t>{3});
}

TEST(TensorMap, CutsRowsOfQueriesKeysAndValues) {
  const auto config = config_of("");
  const auto layouts = layouts_of(family_named("llama", ""), config, {"layers.1.attention.qkv.weight", {16, 8}});
  ASSERT_EQ(layouts.size(), 1U);
  ASSERT_EQ(layouts[0].size(), 3U);
  EXPECT_EQ(layouts[0][1].name, "model.layers.1.self_attn.k_proj.weight");
  EXPECT_EQ(layouts[0][1].shape, (std::vector<int64_t>{4, 8}));
  EXPECT_EQ(layouts[0][1].row, 8);
  EXPECT_EQ(layouts[0][1].expert, -1);
}

// What optimizers and initialisations take for a published matrix (ops/packing.h) is one in the families' files too.
TEST(TensorMap, PiecesAreTheMatricesThatAParameterSaysItHolds) {
  const std::string experts = "n_experts = 3\ntop_k = 2\nd_expert = 6\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"llama", ""},
      {"olmoe", "qk_norm = true"},
      {"qwen2_moe", "n_shared_experts = 1\nshared_gate = true\nattention = {qkv_bias = true}"},
      {"openmoe", "activation = \"swiglu_double\"\nd_extra = 5"}};
  for (const auto& [name, keys] : cases) {
    const auto config = config_of(name == "llama" ? keys : experts + keys);
    int n_packed = 0;
    for (const auto& spec : model::parameter_table(config)) {
      const auto layouts = layouts_of(family_named(name, ""), config, {spec.name, spec.shape});
      ASSERT_FALSE(layouts.empty()) << name << " " << spec.name;
      std::vector<int64_t> rows, needed;
      for (const auto& piece : layouts[0])
        if (piece.expert <= 0) rows.push_back(piece.n_rows());
      for (const auto& part : spec.packing.parts) needed.push_back(part.rows);
      if (needed.empty()) needed.push_back(spec.shape[spec.packing.is_stacked ? 1 : 0]);
      EXPECT_EQ(rows, needed) << name << " " << spec.name;
      EXPECT_EQ(spec.packing.is_stacked, layouts[0][0].expert >= 0 || layouts[0][0].is_stacked)
          << name << " " << spec.name;
      n_packed += needed.size() > 1;
    }
    EXPECT_GE(n_packed, 4) << name;  // of two layers: attention and a network each
  }
}

TEST(TensorMap, StacksExpertsInSeveralLayouts) {
  const auto config = config_of("n_experts = 3\ntop_k = 2\nd_expert = 6");
  const auto layouts = layouts_of(family_named("olmoe", ""), config, {"layers.0.experts.gate_up", {3, 12, 8}});
  ASSERT_EQ(layouts.size(), 2U);
  ASSERT_EQ(layouts[0].size(), 6U);
  EXPECT_EQ(layouts[0][5].name, "model.layers.0.mlp.experts.2.up_proj.weight");
  EXPECT_EQ(layouts[0][5].expert, 2);
  EXPECT_EQ(layouts[0][5].row, 6);
  ASSERT_EQ(layouts[1].size(), 1U);
  EXPECT_EQ(layouts[1][0].name, "model.layers.0.mlp.experts.gate_up_proj");
  EXPECT_EQ(layouts[1][0].shape, (std::vector<int64_t>{3, 12, 8}));
}

TEST(TensorMap, SplitsTheLayerOffAName) {
  EXPECT_EQ(split_layer("layers.17.ffn_norm.weight"),
            (std::pair<std::string, int64_t>("layers.{i}.ffn_norm.weight", 17)));
  EXPECT_EQ(split_layer("head.weight"), (std::pair<std::string, int64_t>("head.weight", -1)));
  EXPECT_EQ(with_layer("a.{i}.b", 3), "a.3.b");
}

}  // namespace
}  // namespace evenkeel::checkpoint
