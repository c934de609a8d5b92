#include "checkpoint/families/test_folder.h"

namespace evenkeel::checkpoint {
namespace {

// Three layers; the first is dense.
class Qwen3MoeFamily : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    set_config(
        R"({"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "vocab_size": 11, "hidden_size": 8,
        "intermediate_size": 5, "moe_intermediate_size": 6, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 4, "num_local_experts": 3, "num_experts_per_tok": 2, "norm_topk_prob": true, "mlp_only_layers": [0],
        "decoder_sparse_step": 1, "max_position_embeddings": 64, "rope_theta": 1000000.0, "use_sliding_window": false,
        "sliding_window": null, "max_window_layers": 28, "torch_dtype": "bfloat16"})");
    add_ends(/*is_tied=*/true);
    set("tie_word_embeddings", true);
    for (const std::string layer : {"model.layers.0.", "model.layers.1.", "model.layers.2."}) {
      add_attention(layer);
      add(layer + "self_attn.q_norm.weight", {4});
      add(layer + "self_attn.k_norm.weight", {4});
    }
    add_gated("model.layers.0.mlp.", 5);
    add_experts("model.layers.1.", 3);
    add_experts("model.layers.2.", 3);
    for (auto& [name, value] : tensors_) value = value.to(at::kBFloat16);
  }
};

TEST_F(Qwen3MoeFamily, ReadsTheConfiguration) {
  const auto c = read_config().config;
  EXPECT_EQ(c.qk_norm, model::QkNorm::per_head);
  EXPECT_EQ(to_json(c.moe_layers).dump(), "[1,2]");
  EXPECT_EQ(std::vector<int64_t>({c.n_experts, c.top_k, c.d_expert, c.d_ff, c.head_dim}),
            std::vector<int64_t>({3, 2, 6, 5, 4}));
  EXPECT_EQ(tables_of(c), R"({"kind":"grouped","qkv_bias":false,"out_bias":false,"window":0} )"
                          R"({"kind":"top_k","score":"softmax_pre","renormalize":true})");
  set("decoder_sparse_step", 2);  // layers 1, 3, ...
  set("mlp_only_layers", Json::array());
  set("use_sliding_window", true);
  set("sliding_window", 7);
  const auto other = read_config().config;
  EXPECT_EQ(to_json(other.moe_layers).dump(), "[1]");
  EXPECT_EQ(other.attention.find("window")->shown(), "7");
  set("layer_types", Json::Array{"sliding_attention", "full_attention", "sliding_attention"});
  expect_refusal({"layer_types", "the class gives them all the window"});
}

TEST_F(Qwen3MoeFamily, GoesThereAndBack) {
  expect_there_and_back();
  // One layer with stacked experts beside one without: each comes back as it was.
  const auto params = read();
  std::erase_if(tensors_, [](const auto& entry) { return entry.first.starts_with("model.layers.2.mlp.experts."); });
  tensors_.emplace_back("model.layers.2.mlp.experts.gate_up_proj",
                        params.at("layers.2.experts.gate_up").to(at::kBFloat16));
  tensors_.emplace_back("model.layers.2.mlp.experts.down_proj", params.at("layers.2.experts.down").to(at::kBFloat16));
  import_and_export();
  const SafetensorsFolder back(root_ / "exported");
  for (const auto& [name, value] : tensors_) EXPECT_TRUE(at::equal(back.load(name), value)) << name;
  EXPECT_FALSE(back.contains("model.layers.2.mlp.experts.2.down_proj.weight"));
}

TEST_F(Qwen3MoeFamily, WritesBothNamesOfTheNumberOfExperts) {
  import_and_export();
  const Json config = HfConfig(root_ / "exported").json();
  EXPECT_EQ(config.at("num_experts"), Json(3));
  EXPECT_EQ(config.at("num_local_experts"), Json(3));
  EXPECT_EQ(config.at("rope_theta"), Json(1e6));
  EXPECT_EQ(config.at("rope_parameters").at("rope_theta"), Json(1e6));
}

TEST_F(Qwen3MoeFamily, RefusesWhatItCannotExpress) {
  expect_refused_setting("mlp_only_layers", "[0,1,2]", {"mlp_only_layers", "at least one layer with experts"});
  expect_refused_setting("mlp_only_layers", "[3]", {"mlp_only_layers", "layers 0..2"});
  expect_refused_setting("norm_topk_prob", "\"yes\"");
  expect_refused_setting("num_experts_per_tok", "4", {"top_k = 4"});
}

}  // namespace
}  // namespace evenkeel::checkpoint
