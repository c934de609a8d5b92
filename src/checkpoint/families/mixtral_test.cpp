#include <ATen/ops/cat.h>

#include "checkpoint/families/test_folder.h"

namespace evenkeel::checkpoint {
namespace {

class MixtralFamily : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    set_config(
        R"({"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "vocab_size": 11, "hidden_size": 8,
        "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
        "num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": 5, "router_aux_loss_coef": 0.02, "router_jitter_noise": 0.1,
        "rope_theta": 10000.0, "torch_dtype": "float32"})");
    add_ends();
    add_attention(kLayer);
    add(kLayer + "block_sparse_moe.gate.weight", {3, 8});
    for (const std::string e : {"0.", "1.", "2."})
      add_gated(kLayer + "block_sparse_moe.experts." + e, 6, "w1", "w3", "w2");
  }
  const std::string kLayer = "model.layers.0.";
};

TEST_F(MixtralFamily, ReadsTheConfiguration) {
  const auto model = read_config();
  const auto& c = model.config;
  EXPECT_EQ(std::vector<int64_t>({c.n_experts, c.top_k, c.d_expert, c.n_kv_heads, c.head_dim}),
            std::vector<int64_t>({3, 2, 6, 2, 4}));
  EXPECT_EQ(tables_of(c),
            R"({"kind":"grouped","window":5} )"
            R"({"kind":"top_k","score":"softmax_pre","renormalize":true,"jitter":0.1,"jitter_target":"hidden"})");
  ASSERT_EQ(c.balance.terms.size(), 1U);
  EXPECT_EQ(c.balance.terms[0].loss.text(), "hf");
  EXPECT_EQ(c.balance.terms[0].coefficient, 0.02);
  EXPECT_EQ(c.norm_eps, 1e-5);
  EXPECT_EQ(model.max_sequence_length, 131072);
  config_.erase("rope_theta");
  EXPECT_EQ(read_config().config.rope_theta, 1e6);  // the class's own
}

TEST_F(MixtralFamily, PutsW1AboveW3) {
  const auto params = read();
  const std::string at = kLayer + "block_sparse_moe.experts.1.";
  EXPECT_TRUE(at::equal(params.at("layers.0.experts.gate_up").select(0, 1),
                        at::cat({tensor(at + "w1.weight"), tensor(at + "w3.weight")})));
  EXPECT_TRUE(at::equal(params.at("layers.0.experts.down").select(0, 1), tensor(at + "w2.weight")));
}

TEST_F(MixtralFamily, ReadsStackedExpertsUnderAnotherName) {
  const auto by_expert = read();
  std::erase_if(tensors_, [](const auto& entry) { return entry.first.find("block_sparse_moe") != std::string::npos; });
  tensors_.emplace_back(kLayer + "mlp.gate.weight", by_expert.at("layers.0.router.weight"));
  tensors_.emplace_back(kLayer + "mlp.experts.gate_up_proj", by_expert.at("layers.0.experts.gate_up"));
  tensors_.emplace_back(kLayer + "mlp.experts.down_proj", by_expert.at("layers.0.experts.down"));
  const auto stacked = read();
  for (const auto& [name, value] : by_expert) EXPECT_TRUE(at::equal(stacked.at(name), value)) << name;
  expect_there_and_back();
}

TEST_F(MixtralFamily, HasItsWindowInAllLayersWhateverIsSaidOfThem) {
  set("layer_types", Json::Array{"sliding_attention"});
  EXPECT_EQ(read_config().config.attention.find("window")->shown(), "5");
  set("layer_types", Json::Array{"full_attention"});
  set("sliding_window", nullptr);  // without a window the list counts for nothing
  EXPECT_EQ(read_config().config.attention.find("window")->shown(), "0");
}

TEST_F(MixtralFamily, GoesThereAndBack) {
  expect_there_and_back();
  config_.erase("sliding_window");
  config_.erase("head_dim");
  set("num_experts", config_.at("num_local_experts"));  // another family's name for it
  config_.erase("num_local_experts");
  set("hidden_size", 16);
  expect_refusal({"embed_tokens"});  // 16 / 4 = 4 features a head still
  set("hidden_size", 8);
  set("head_dim", 4);
  expect_there_and_back();
  set("num_experts_per_tok", 1);  // its weight is divided by itself
  EXPECT_TRUE(read_config().config.router.find("renormalize_one")->to_json().as_bool());
  expect_there_and_back();
}

TEST_F(MixtralFamily, RefusesWhatItCannotExpress) {
  expect_refused_setting("attention_bias", "true");
  expect_refused_setting("num_experts", "4", {"num_experts", "4", "3, as num_local_experts says"});
  for (const std::string types :
       {R"(["chunked_attention"])", R"(["full_attention"])", R"([])", "7"})  // no key of the class
    expect_refused_setting("layer_types", types, {"layer_types: got " + types, "\"sliding_attention\" for all layers"});
  expect_refused_setting("quantization_config", R"({"quant_method":"gptq"})");
  expect_refused_setting("scale_emb", "12", {"scale_emb: got 12", "evenkeel does not know"});
}

}  // namespace
}  // namespace evenkeel::checkpoint
