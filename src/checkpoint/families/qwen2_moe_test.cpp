#include "checkpoint/families/test_folder.h"

namespace evenkeel::checkpoint {
namespace {

class Qwen2MoeFamily : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    set_config(
        R"({"model_type": "qwen2_moe", "architectures": ["Qwen2MoeForCausalLM"], "vocab_size": 11, "hidden_size": 8,
        "intermediate_size": 5, "moe_intermediate_size": 6, "shared_expert_intermediate_size": 7, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "num_experts": 3, "num_experts_per_tok": 2,
        "decoder_sparse_step": 2, "max_position_embeddings": 64, "rope_theta": 1000000.0, "use_sliding_window": false,
        "sliding_window": 0, "layer_types": ["full_attention", "full_attention"], "dtype": "float32"})");
    add_ends();
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) add_attention(layer, /*has_bias=*/true);
    add_gated("model.layers.0.mlp.", 5);
    add_experts("model.layers.1.", 3);
    add_gated("model.layers.1.mlp.shared_expert.", 7);
    add("model.layers.1.mlp.shared_expert_gate.weight", {1, 8});
  }
};

TEST_F(Qwen2MoeFamily, ReadsTheConfiguration) {
  const auto c = read_config().config;
  EXPECT_EQ(std::vector<int64_t>({c.n_shared_experts, c.d_shared, c.d_expert, c.d_ff}),
            std::vector<int64_t>({1, 7, 6, 5}));
  EXPECT_TRUE(c.shared_gate);
  EXPECT_EQ(to_json(c.moe_layers).dump(), "[1]");
  EXPECT_EQ(tables_of(c), R"({"kind":"grouped","qkv_bias":true,"out_bias":false,"window":0} )"
                          R"({"kind":"top_k","score":"softmax_pre","renormalize":false})");
  EXPECT_EQ(c.balance.terms.at(0).coefficient, 0.001);
}

TEST_F(Qwen2MoeFamily, TakesWindowsByLayer) {
  set("use_sliding_window", true);
  set("sliding_window", 9);
  set("layer_types", Json::Array{"sliding_attention", "full_attention"});
  const auto c = read_config().config;
  EXPECT_EQ(c.attention.find("window")->shown(), "9");
  EXPECT_EQ(c.attention.find("window_layers")->to_json().dump(), "[0]");
  expect_there_and_back();
  config_.erase("layer_types");
  expect_refusal({"use_sliding_window: got true", "layer_types"});
}

TEST_F(Qwen2MoeFamily, ReadsTheGateOfTheSharedExpert) {
  const auto params = read();
  EXPECT_TRUE(
      at::equal(params.at("layers.1.shared.gate.weight"), tensor("model.layers.1.mlp.shared_expert_gate.weight")));
  EXPECT_TRUE(
      at::equal(params.at("layers.1.shared.down.weight"), tensor("model.layers.1.mlp.shared_expert.down_proj.weight")));
}

TEST_F(Qwen2MoeFamily, GoesThereAndBack) { expect_there_and_back(); }

TEST_F(Qwen2MoeFamily, RefusesWhatItCannotExpress) {
  expect_refused_setting("shared_expert_intermediate_size", "0", {"shared_expert_intermediate_size", "0"});
  expect_refused_setting("decoder_sparse_step", "3", {"decoder_sparse_step", "at least one layer"});
  set("qkv_bias", false);
  expect_refusal({"6 tensors that", "q_proj.bias"});
}

}  // namespace
}  // namespace evenkeel::checkpoint
