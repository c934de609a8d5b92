#include <ATen/ops/cat.h>

#include "checkpoint/families/test_folder.h"

namespace evenkeel::checkpoint {
namespace {

class LlamaFamily : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    make_llama();
  }
};

TEST_F(LlamaFamily, ReadsTheConfiguration) {
  const auto model = read_config();
  EXPECT_EQ(model.family, "llama");
  EXPECT_EQ(model.max_sequence_length, 64);
  const auto& c = model.config;
  EXPECT_EQ(std::vector<int64_t>(
                {c.vocab_size, c.d_model, c.n_layers, c.n_heads, c.n_kv_heads, c.head_dim, c.d_ff, c.n_experts}),
            std::vector<int64_t>({11, 8, 2, 4, 2, 4, 6, 0}));
  EXPECT_EQ(c.rope_theta, 500000.0);
  EXPECT_EQ(c.norm_eps, 1e-6);
  EXPECT_EQ(c.activation, ops::Activation::swiglu);
  EXPECT_EQ(c.qk_norm, model::QkNorm::none);
  EXPECT_FALSE(c.tie_embeddings);
}

TEST_F(LlamaFamily, PutsRowsBelowEachOther) {
  const auto params = read();
  const std::string at = "model.layers.1.";
  const auto qkv = at::cat({tensor(at + "self_attn.q_proj.weight"), tensor(at + "self_attn.k_proj.weight"),
                            tensor(at + "self_attn.v_proj.weight")});
  EXPECT_TRUE(at::equal(params.at("layers.1.attention.qkv.weight"), qkv));
  const auto gate_up = at::cat({tensor(at + "mlp.gate_proj.weight"), tensor(at + "mlp.up_proj.weight")});
  EXPECT_TRUE(at::equal(params.at("layers.1.ffn.gate_up.weight"), gate_up));
  EXPECT_TRUE(at::equal(params.at("layers.1.ffn.down.weight"), tensor(at + "mlp.down_proj.weight")));
  EXPECT_TRUE(at::equal(params.at("layers.1.attention.out.weight"), tensor(at + "self_attn.o_proj.weight")));
  EXPECT_TRUE(at::equal(params.at("layers.0.attention_norm.weight"), tensor("model.layers.0.input_layernorm.weight")));
  EXPECT_TRUE(
      at::equal(params.at("layers.0.ffn_norm.weight"), tensor("model.layers.0.post_attention_layernorm.weight")));
  EXPECT_TRUE(at::equal(params.at("embedding.weight"), tensor("model.embed_tokens.weight")));
  EXPECT_TRUE(at::equal(params.at("final_norm.weight"), tensor("model.norm.weight")));
  EXPECT_TRUE(at::equal(params.at("head.weight"), tensor("lm_head.weight")));
  EXPECT_EQ(params.size(), 3 + 2 * 6);
}

TEST_F(LlamaFamily, SkipsTheAnglesThatOldFoldersStore) {
  add("model.layers.1.self_attn.rotary_emb.inv_freq", {2});
  EXPECT_EQ(read().size(), 3 + 2 * 6);
}

TEST_F(LlamaFamily, ReadsBiases) {
  set("attention_bias", true);
  set("mlp_bias", true);
  expect_refusal({"got no tensor", "self_attn.q_proj.bias"});
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    for (const auto& [name, size] : {std::pair("self_attn.q_proj", 16),
                                     {"self_attn.k_proj", 8},
                                     {"self_attn.v_proj", 8},
                                     {"self_attn.o_proj", 8},
                                     {"mlp.gate_proj", 6},
                                     {"mlp.up_proj", 6},
                                     {"mlp.down_proj", 8}})
      add(layer + name + ".bias", {size});
  }
  const auto params = read();
  EXPECT_TRUE(at::equal(params.at("layers.1.ffn.gate_up.bias"), at::cat({tensor("model.layers.1.mlp.gate_proj.bias"),
                                                                         tensor("model.layers.1.mlp.up_proj.bias")})));
  expect_there_and_back();
}

TEST_F(LlamaFamily, GoesThereAndBack) {
  expect_there_and_back();
  for (const auto dtype : {at::kBFloat16, at::kHalf}) {
    for (auto& [name, value] : tensors_) value = value.to(dtype);
    expect_there_and_back();
  }
  tensor("model.layers.0.self_attn.k_proj.weight") = at::randn({8, 8});  // one of another type than its neighbours
  tensor("model.layers.1.mlp.up_proj.weight") = at::randn({6, 8}).to(at::kBFloat16);
  expect_there_and_back();
}

TEST_F(LlamaFamily, RefusesBiasesThatNothingTellsOf) {
  add("model.layers.0.self_attn.q_proj.bias", {16});
  expect_refusal({"1 tensor that", "self_attn.q_proj.bias"});
}

}  // namespace
}  // namespace evenkeel::checkpoint
