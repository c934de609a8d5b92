#include "model/layout.h"

#include <gtest/gtest.h>

namespace evenkeel::model {
namespace {

ModelConfig config_of(const std::string& extra) {
  return read_model_config(parse_toml(
      "vocab_size = 10\nd_model = 8\nn_layers = 2\nn_heads = 4\nn_kv_heads = 2\nhead_dim = 3\nd_ff = 5\n" + extra, "m",
      ""));
}
std::map<std::string, std::vector<int64_t>> shapes_of(const ModelConfig& config) {
  std::map<std::string, std::vector<int64_t>> out;
  for (const auto& spec : parameter_table(config)) EXPECT_TRUE(out.emplace(spec.name, spec.shape).second) << spec.name;
  return out;
}
using Shape = std::vector<int64_t>;

TEST(ParameterTable, ListsEveryShapeOfADenseModel) {
  const auto shapes = shapes_of(config_of("qk_norm = true"));
  EXPECT_EQ(shapes.size(), 3u + 2 * 8);
  EXPECT_EQ(shapes.at("embedding.weight"), (Shape{10, 8}));
  EXPECT_EQ(shapes.at("layers.1.attention.qkv.weight"), (Shape{(4 + 2 * 2) * 3, 8}));
  EXPECT_EQ(shapes.at("layers.1.attention.q_norm.weight"), (Shape{12}));
  EXPECT_EQ(shapes.at("layers.1.attention.k_norm.weight"), (Shape{6}));
  EXPECT_EQ(shapes.at("layers.1.attention.out.weight"), (Shape{8, 12}));
  EXPECT_EQ(shapes.at("layers.1.ffn.gate_up.weight"), (Shape{10, 8}));
  EXPECT_EQ(shapes.at("layers.1.ffn.down.weight"), (Shape{8, 5}));
  EXPECT_EQ(shapes.at("head.weight"), (Shape{10, 8}));
}

// As released models have them: queries, keys and values apart, gate and up apart, each expert by itself.
TEST(ParameterTable, SaysWhichPublishedMatricesLieInAParameter) {
  const auto config = config_of(
      "n_experts = 6\ntop_k = 2\nd_expert = 7\nn_shared_experts = 2\nmoe_layers = [1]\nffn_bias = true\n"
      "expert_bias = true\nactivation = \"swiglu_double\"\nd_extra = 4\nattention = {qkv_bias = true}");
  std::map<std::string, ops::Packing> packings;
  for (const auto& spec : parameter_table(config)) packings[spec.name] = spec.packing;
  const ops::Packing plain, qkv{false, {{"q", 12}, {"k", 6}, {"v", 6}}}, dense{false, {{"gate", 10}, {"up", 5}}},
      expert{true, {{"gate", 14}, {"up", 7}}}, shared{false, {{"gate", 28}, {"up", 14}}},
      extra{false, {{"gate", 8}, {"up", 4}}}, stack{true, {}};
  EXPECT_EQ(packings.at("layers.0.attention.qkv.weight"), qkv);
  EXPECT_EQ(packings.at("layers.0.attention.qkv.bias"), qkv);
  EXPECT_EQ(packings.at("layers.0.ffn.gate_up.weight"), dense);
  EXPECT_EQ(packings.at("layers.0.ffn.gate_up.bias"), dense);
  EXPECT_EQ(packings.at("layers.1.experts.gate_up"), expert);
  EXPECT_EQ(packings.at("layers.1.experts.gate_up_bias"), expert);
  EXPECT_EQ(packings.at("layers.1.experts.down"), stack);
  EXPECT_EQ(packings.at("layers.1.experts.down_bias"), stack);
  EXPECT_EQ(packings.at("layers.1.shared.gate_up.weight"), shared);
  EXPECT_EQ(packings.at("layers.1.extra.gate_up.weight"), extra);
  for (const auto* name : {"embedding.weight", "layers.0.attention.out.weight", "layers.0.ffn.down.weight",
                           "layers.0.attention_norm.weight", "layers.1.router.weight", "layers.1.shared.down.weight",
                           "final_norm.weight", "head.weight"})
    EXPECT_EQ(packings.at(name), plain) << name;
}

TEST(ParameterTable, ListsExpertsSharedExpertsAndTiedHeads) {
  const auto shapes =
      shapes_of(config_of("n_experts = 6\ntop_k = 2\nd_expert = 7\nn_shared_experts = 2\nmoe_layers = "
                          "[1]\ntie_embeddings = true\nqk_norm = \"per_head\""));
  EXPECT_EQ(shapes.count("head.weight"), 0u);
  EXPECT_EQ(shapes.count("layers.0.router.weight"), 0u);
  EXPECT_EQ(shapes.at("layers.0.ffn.down.weight"), (Shape{8, 5}));
  EXPECT_EQ(shapes.count("layers.1.ffn.down.weight"), 0u);
  EXPECT_EQ(shapes.at("layers.1.attention.k_norm.weight"), (Shape{3}));
  EXPECT_EQ(shapes.at("layers.1.router.weight"), (Shape{6, 8}));
  EXPECT_EQ(shapes.at("layers.1.experts.gate_up"), (Shape{6, 14, 8}));
  EXPECT_EQ(shapes.at("layers.1.experts.down"), (Shape{6, 8, 7}));
  EXPECT_EQ(shapes.at("layers.1.shared.gate_up.weight"), (Shape{28, 8}));
  EXPECT_EQ(shapes.at("layers.1.shared.down.weight"), (Shape{8, 14}));
}

TEST(ParameterCounts, CountKOfEExpertsAsActive) {
  const auto counts = count_parameters(config_of("n_experts = 6\ntop_k = 2\nd_expert = 7"));
  const int64_t attention = 24 * 8 + 8 * 12, norms = 2 * 8, expert = 3 * 7 * 8, router = 6 * 8;
  const int64_t without = 2 * (attention + norms + router + 6 * expert) + 8, embeddings = 2 * 80;
  EXPECT_EQ(counts.total, without + embeddings);
  EXPECT_EQ(counts.total_without_embeddings, without);
  EXPECT_EQ(counts.active, without + embeddings - 2 * 4 * expert);
  EXPECT_EQ(counts.active_without_embeddings, without - 2 * 4 * expert);
}

// The experts of a token count as many times as it passes on average; a router without a matrix has no row.
TEST(ParameterCounts, FollowTheRouter) {
  const std::string experts = "n_experts = 6\ntop_k = 2\nd_expert = 7\n";
  const auto plain = config_of(experts),
             wide = config_of(experts + "router = {kind = \"expert_choice\", factor = 2.5}");
  const int64_t expert = 3 * 7 * 8;
  EXPECT_EQ(experts_per_token(plain), 2);
  EXPECT_EQ(experts_per_token(wide), 2.5);
  EXPECT_EQ(experts_per_token(config_of(experts + "router = {kind = \"expert_choice\"}")), 2);
  EXPECT_EQ(experts_per_token(config_of("")), 0);
  EXPECT_EQ(count_parameters(wide).total, count_parameters(plain).total);
  EXPECT_EQ(count_parameters(wide).active - count_parameters(plain).active,
            2 * expert / 2);  // half an expert in each of two layers
  EXPECT_DOUBLE_EQ(forward_flops_per_token(wide, 16) - forward_flops_per_token(plain, 16), 2.0 * 2 * expert / 2);
  for (const std::string kind : {"random", "uniform"}) {
    const auto without = config_of(experts + "router = {kind = \"" + kind + "\"}");
    EXPECT_EQ(shapes_of(without).count("layers.1.router.weight"), 0u);
    EXPECT_EQ(count_parameters(plain).total - count_parameters(without).total, 2 * 6 * 8);
    EXPECT_DOUBLE_EQ(forward_flops_per_token(plain, 16) - forward_flops_per_token(without, 16), 2.0 * 2 * 6 * 8);
  }
}

TEST(Flops, CountTwoAProductAndHalfTheAttention) {
  const auto config = config_of("");
  const double products = 2.0 * (2 * (24 * 8 + 8 * 12 + 3 * 5 * 8) + 80);  // the embedding is no product, the head is
  const double attention = 2 * 2.0 * 2 * (16 / 2.0) * 12;  // layers · FLOPs · (scores, values) · S/2 · heads · head_dim
  EXPECT_DOUBLE_EQ(forward_flops_per_token(config, 16), products + attention);
  EXPECT_DOUBLE_EQ(training_flops_per_token(config, 16), 3 * (products + attention));
  EXPECT_DOUBLE_EQ(forward_flops_per_token(config_of("tie_embeddings = true"), 16), products + attention);
}

TEST(Cache, HoldsKeysAndValuesOfAllLayers) {
  EXPECT_EQ(cache_floats(config_of(""), 16),
            2 * 16 * 2 * 2 * 3);  // layers · tokens · (keys, values) · kv heads · head_dim
}

}  // namespace
}  // namespace evenkeel::model
