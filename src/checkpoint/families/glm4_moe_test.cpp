#include "checkpoint/families/test_folder.h"

namespace evenkeel::checkpoint {
namespace {

class Glm4MoeFamily : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    set_config(
        R"({"model_type": "glm4_moe", "architectures": ["Glm4MoeForCausalLM"], "vocab_size": 11, "hidden_size": 8,
        "intermediate_size": 5, "moe_intermediate_size": 6, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 4, "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1,
        "norm_topk_prob": true, "routed_scaling_factor": 1.5, "use_qk_norm": true, "attention_bias": true, "max_position_embeddings": 64,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}, "dtype": "float32"})");
    add_ends();
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      add_attention(layer, /*has_bias=*/true);
      add(layer + "self_attn.q_norm.weight", {4});
      add(layer + "self_attn.k_norm.weight", {4});
    }
    add_gated("model.layers.0.mlp.", 5);
    add_experts("model.layers.1.", 4);
    add("model.layers.1.mlp.gate.e_score_correction_bias", {4});
    add_gated("model.layers.1.mlp.shared_experts.", 6);
  }
};

TEST_F(Glm4MoeFamily, ReadsTheConfiguration) {
  const auto c = read_config().config;
  EXPECT_EQ(c.rotary_fraction, 0.5);
  EXPECT_EQ(c.qk_norm, model::QkNorm::per_head);
  EXPECT_EQ(tables_of(c), R"({"kind":"grouped","qkv_bias":true,"out_bias":false} )"
                          R"({"kind":"loss_free","score":"sigmoid","n_groups":1,"groups_per_token":1,"scaling":1.5,)"
                          R"("renormalize":true})");
  set("rope_parameters", nullptr);
  EXPECT_EQ(read_config().config.rotary_fraction, 0.5);  // the class's own
  set("partial_rotary_factor", 1.0);
  EXPECT_EQ(read_config().config.rotary_fraction, 1.0);
}

TEST_F(Glm4MoeFamily, GoesThereAndBack) {
  expect_there_and_back();
  set("use_qk_norm", false);
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    remove(layer + "self_attn.q_norm.weight");
    remove(layer + "self_attn.k_norm.weight");
  }
  expect_there_and_back();
}

TEST_F(Glm4MoeFamily, RefusesWhatItCannotExpress) {
  expect_refused_setting("n_group", "5", {"n_groups", "5"});
  expect_refused_setting("rope_parameters", R"({"rope_type":"linear","factor":2.0,"partial_rotary_factor":0.5})",
                         {"rope_parameters.partial_rotary_factor", "0.5"});
  add("model.layers.0.self_attn.o_proj.bias", {8});
  expect_refusal({"o_proj.bias"});
}

}  // namespace
}  // namespace evenkeel::checkpoint
