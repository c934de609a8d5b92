#include "checkpoint/families/test_folder.h"

namespace evenkeel::checkpoint {
namespace {

class FlexOlmoFamily : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    set_config(
        R"({"model_type": "flex_olmo", "architectures": ["FlexOlmoForCausalLM"], "vocab_size": 11, "hidden_size": 8,
        "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
        "num_experts": 3, "num_experts_per_tok": 2, "norm_topk_prob": true, "max_position_embeddings": 64, "dtype": "float32"})");
    add_ends();
    add_projections(kLayer);
    add(kLayer + "self_attn.q_norm.weight", {16});
    add(kLayer + "self_attn.k_norm.weight", {8});
    add(kLayer + "post_attention_layernorm.weight", {8});
    add(kLayer + "post_feedforward_layernorm.weight", {8});
    add_experts(kLayer, 3);
  }
  const std::string kLayer = "model.layers.0.";
};

TEST_F(FlexOlmoFamily, ReadsTheConfiguration) {
  const auto c = read_config().config;
  EXPECT_EQ(c.rope_theta, 5e5);  // the class's own
  EXPECT_EQ(c.norm_placement, model::NormPlacement::after);
  EXPECT_EQ(c.qk_norm, model::QkNorm::whole);
  EXPECT_EQ(std::vector<int64_t>({c.n_experts, c.top_k, c.d_expert}), std::vector<int64_t>({3, 2, 6}));
  EXPECT_EQ(c.balance.terms.at(0).coefficient, 0.01);
}

TEST_F(FlexOlmoFamily, GoesThereAndBack) { expect_there_and_back(); }

TEST_F(FlexOlmoFamily, RefusesWhatItCannotExpress) {
  expect_refused_setting("router_aux_loss_coef", "-1", {"router_aux_loss_coef", "-1"});
  expect_refused_setting("shared_expert_intermediate_size", "4", {"shared_expert_intermediate_size: got 4"});
}

}  // namespace
}  // namespace evenkeel::checkpoint
