#include "checkpoint/families/test_folder.h"

namespace evenkeel::checkpoint {
namespace {

class GraniteMoeFamily : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    set_config(
        R"({"model_type": "granitemoe", "architectures": ["GraniteMoeForCausalLM"], "vocab_size": 11, "hidden_size": 8,
        "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
        "num_local_experts": 3, "num_experts_per_tok": 2, "embedding_multiplier": 12.0, "attention_multiplier": 0.015625,
        "residual_multiplier": 0.22, "logits_scaling": 6.0, "attention_dropout": 0.1, "max_position_embeddings": 64,
        "rope_theta": 10000.0, "torch_dtype": "float32"})");
    add_ends();
    add_attention(kLayer);
    add(kMoe + "router.layer.weight", {3, 8});
    add(kMoe + "input_linear.weight", {3, 12, 8});
    add(kMoe + "output_linear.weight", {3, 8, 6});
  }
  const std::string kLayer = "model.layers.0.", kMoe = kLayer + "block_sparse_moe.";
};

TEST_F(GraniteMoeFamily, ReadsTheConfiguration) {
  const auto model = read_config();
  const auto& c = model.config;
  EXPECT_EQ(std::vector<double>({c.embedding_multiplier, c.residual_multiplier, c.logits_scaling}),
            std::vector<double>({12, 0.22, 6}));
  EXPECT_EQ(tables_of(c), R"({"kind":"grouped","qkv_bias":false,"out_bias":false,"scale":0.015625} )"
                          R"({"kind":"top_k","score":"softmax_post"})");
  ASSERT_EQ(model.notices.size(), 1U);  // of what acts in training alone
  EXPECT_NE(model.notices[0].find("attention_dropout"), std::string::npos);
  config_.erase("attention_multiplier");
  EXPECT_EQ(read_config().config.attention.find("scale")->to_json(), Json(1.0));  // the class's own
}

TEST_F(GraniteMoeFamily, ReadsTheNamesThatTransformers5MayWrite) {
  const auto usual = read();
  tensors_[tensors_.size() - 3].first = kMoe + "router.weight";
  tensors_[tensors_.size() - 2].first = kMoe + "experts.gate_up_proj";
  tensors_[tensors_.size() - 1].first = kMoe + "experts.down_proj";
  const auto other = read();
  for (const auto& [name, value] : usual) EXPECT_TRUE(at::equal(other.at(name), value)) << name;
  expect_there_and_back();
}

TEST_F(GraniteMoeFamily, GoesThereAndBack) {
  expect_there_and_back();
  set("num_experts_per_tok", 1);  // a softmax over one logit
  EXPECT_EQ(read_config().config.router.to_json().dump(),
            R"({"kind":"top_k","score":"softmax_post","renormalize_one":true})");
  expect_there_and_back();
}

TEST_F(GraniteMoeFamily, HasSharedExpertsInItsSecondForm) {
  set("model_type", "granitemoeshared");
  set("architectures", Json::Array{"GraniteMoeSharedForCausalLM"});
  set("shared_intermediate_size", 10);
  add(kLayer + "shared_mlp.input_linear.weight", {20, 8});
  add(kLayer + "shared_mlp.output_linear.weight", {8, 10});
  const auto c = read_config().config;
  EXPECT_EQ(std::vector<int64_t>({c.n_shared_experts, c.d_shared}), std::vector<int64_t>({1, 10}));
  EXPECT_FALSE(c.shared_gate);
  expect_there_and_back();
  remove(kLayer + "shared_mlp.input_linear.weight");
  remove(kLayer + "shared_mlp.output_linear.weight");
  set("shared_intermediate_size", 0);
  expect_there_and_back();
}

TEST_F(GraniteMoeFamily, RefusesWhatItCannotExpress) {
  expect_refused_setting("residual_multiplier", "0", {"residual_multiplier", "0"});
  expect_refused_setting("shared_intermediate_size", "4", {"shared_intermediate_size: got 4"});
  expect_refused_setting("attention_dropout", "1.5");
}

}  // namespace
}  // namespace evenkeel::checkpoint
