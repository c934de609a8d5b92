#include "checkpoint/families/test_folder.h"

namespace evenkeel::checkpoint {
namespace {

class Olmo2Family : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    set_config(
        R"({"model_type": "olmo2", "architectures": ["Olmo2ForCausalLM"], "vocab_size": 11, "hidden_size": 8,
        "intermediate_size": 6, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
        "attention_bias": true, "max_position_embeddings": 64, "rope_parameters": {"rope_type": "llama3", "rope_theta": 1000.0,
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16},
        "dtype": "float32"})");
    add_ends();
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      add_projections(layer, true, true);
      add(layer + "self_attn.q_norm.weight", {16});
      add(layer + "self_attn.k_norm.weight", {8});
      add(layer + "post_attention_layernorm.weight", {8});
      add(layer + "post_feedforward_layernorm.weight", {8});
      add_gated(layer + "mlp.", 6);
    }
  }
};

TEST_F(Olmo2Family, ReadsTheConfiguration) {
  const auto c = read_config().config;
  EXPECT_EQ(c.qk_norm, model::QkNorm::whole);
  EXPECT_EQ(c.norm_placement, model::NormPlacement::after);
  EXPECT_EQ(c.norm_eps, 1e-5);
  EXPECT_EQ(c.d_ff, 6);
  EXPECT_EQ(tables_of(c), R"({"kind":"grouped","qkv_bias":true,"out_bias":true} {})");
  EXPECT_EQ(to_json(c.rope_scaling).dump(),
            R"({"kind":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_length":16})");
}

TEST_F(Olmo2Family, PutsTheNormsBehindTheBranches) {
  const auto params = read();
  EXPECT_TRUE(
      at::equal(params.at("layers.1.attention_norm.weight"), tensor("model.layers.1.post_attention_layernorm.weight")));
  EXPECT_TRUE(
      at::equal(params.at("layers.1.ffn_norm.weight"), tensor("model.layers.1.post_feedforward_layernorm.weight")));
  EXPECT_TRUE(at::equal(params.at("layers.0.attention.out.bias"), tensor("model.layers.0.self_attn.o_proj.bias")));
  EXPECT_TRUE(at::equal(params.at("layers.0.attention.qkv.bias").narrow(0, 24, 8),
                        tensor("model.layers.0.self_attn.v_proj.bias")));
}

TEST_F(Olmo2Family, GoesThereAndBack) { expect_there_and_back(); }

TEST_F(Olmo2Family, RefusesWhatItCannotExpress) {
  expect_refused_setting("clip_qkv", "8.0");
  expect_refused_setting("mlp_bias", "true");
  expect_refused_setting("sliding_window", "128");
  add("model.layers.0.input_layernorm.weight", {8});
  expect_refusal({"1 tensor that a olmo2", "input_layernorm"});
}

}  // namespace
}  // namespace evenkeel::checkpoint
