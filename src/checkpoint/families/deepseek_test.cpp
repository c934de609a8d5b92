#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>

#include "checkpoint/families/test_folder.h"
#include "checkpoint/packed_weights.h"
#include "checkpoint/router_states.h"

namespace evenkeel::checkpoint {
namespace {

// Two layers, the first dense; 4 experts of width 6 and two shared ones.
class DeepseekFamilies : public HfFolderTest {
 protected:
  void make_v1() {
    set_config(
        R"({"model_type": "deepseek", "architectures": ["DeepseekForCausalLM"], "auto_map": {"AutoModelForCausalLM":
        "modeling_deepseek.DeepseekForCausalLM"}, "vocab_size": 11, "hidden_size": 16, "intermediate_size": 5,
        "moe_intermediate_size": 6, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "n_routed_experts": 4, "n_shared_experts": 2, "num_experts_per_tok": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1,
        "norm_topk_prob": false, "scoring_func": "softmax", "aux_loss_alpha": 0.003, "seq_aux": false, "pretraining_tp": 1,
        "max_position_embeddings": 64, "rope_theta": 10000.0, "rope_scaling": null, "torch_dtype": "float32"})");
    add("model.embed_tokens.weight", {11, 16});
    add("model.norm.weight", {16});
    add("lm_head.weight", {11, 16});
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      for (const char* norm : {"input_layernorm.weight", "post_attention_layernorm.weight"}) add(layer + norm, {16});
      add(layer + "self_attn.q_proj.weight", {16, 16});
      add(layer + "self_attn.k_proj.weight", {8, 16});
      add(layer + "self_attn.v_proj.weight", {8, 16});
      add(layer + "self_attn.o_proj.weight", {16, 16});
    }
    add_wide("model.layers.0.mlp.", 5);
    add("model.layers.1.mlp.gate.weight", {4, 16});
    for (const std::string e : {"0.", "1.", "2.", "3."}) add_wide("model.layers.1.mlp.experts." + e, 6);
    add_wide("model.layers.1.mlp.shared_experts.", 12);
  }
  void add_wide(const std::string& at, int64_t width) {
    add(at + "gate_proj.weight", {width, 16});
    add(at + "up_proj.weight", {width, 16});
    add(at + "down_proj.weight", {16, width});
  }
  // 4 heads of 6 + 4 features, values of 5; latent vectors of 7 (and 9 for queries)
  void make_latent(bool is_v3) {
    set_config(
        R"({"vocab_size": 11, "hidden_size": 8, "intermediate_size": 5, "moe_intermediate_size": 6, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "kv_lora_rank": 7, "q_lora_rank": null, "qk_nope_head_dim": 6,
        "qk_rope_head_dim": 4, "v_head_dim": 5, "head_dim": 4, "qk_head_dim": 10, "n_routed_experts": 4, "n_shared_experts": 2,
        "num_experts_per_tok": 2, "first_k_dense_replace": 1, "moe_layer_freq": 1, "rms_norm_eps": 1e-5, "max_position_embeddings": 64,
        "rope_theta": 10000.0, "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 16,
        "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707}, "torch_dtype": "bfloat16"})");
    set("model_type", is_v3 ? "deepseek_v3" : "deepseek_v2");
    set("architectures", Json::Array{is_v3 ? "DeepseekV3ForCausalLM" : "DeepseekV2ForCausalLM"});
    add_ends();
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      for (const char* norm : {"input_layernorm.weight", "post_attention_layernorm.weight"}) add(layer + norm, {8});
      add(layer + "self_attn.q_proj.weight", {40, 8});
      add(layer + "self_attn.kv_a_proj_with_mqa.weight", {11, 8});
      add(layer + "self_attn.kv_a_layernorm.weight", {7});
      add(layer + "self_attn.kv_b_proj.weight", {44, 7});
      add(layer + "self_attn.o_proj.weight", {8, 20});
    }
    add_gated("model.layers.0.mlp.", 5);
    add_experts("model.layers.1.", 4);
    add_gated("model.layers.1.mlp.shared_experts.", 12);
    for (auto& [name, value] : tensors_) value = value.to(at::kBFloat16);
    if (!is_v3) return;
    const Json router = Json::parse(R"({"n_group": 2, "topk_group": 1, "routed_scaling_factor": 2.5,
        "norm_topk_prob": true, "scoring_func": "sigmoid", "topk_method": "noaux_tc"})",
                                    "test");
    for (const auto& [key, value] : router.as_object()) set(key, value);
    add(kBias, {4});
    tensor("model.layers.1.mlp.gate.weight") = tensor("model.layers.1.mlp.gate.weight").to(at::kFloat);
  }
  const std::string kBias = "model.layers.1.mlp.gate.e_score_correction_bias";
};

TEST_F(DeepseekFamilies, ReadTheFirstVersion) {
  make_v1();
  const auto c = read_config().config;
  EXPECT_EQ(std::vector<int64_t>({c.n_experts, c.n_shared_experts, c.d_shared, c.d_ff, c.head_dim}),
            std::vector<int64_t>({4, 2, 12, 5, 4}));
  EXPECT_EQ(to_json(c.moe_layers).dump(), "[1]");
  EXPECT_EQ(c.balance.terms.at(0).loss.text(), "deepseek_batch");
  EXPECT_EQ(c.balance.terms.at(0).coefficient, 0.003);
  set("num_hidden_layers", 6);
  set("moe_layer_freq", 2);
  EXPECT_EQ(to_json(read_config().config.moe_layers).dump(), "[2,4]");  // from 1 on, those that 2 divides
  expect_refused_setting("scoring_func", R"("sigmoid")");
}

TEST_F(DeepseekFamilies, TakeTheFirstVersionThereAndBackWithItsCode) {
  make_v1();
  std::ofstream(folder_ / "modeling_deepseek.py") << "# code\n";
  expect_there_and_back();
  import_and_export();
  EXPECT_TRUE(fs::exists(root_ / "exported" / "modeling_deepseek.py"));
}

// The same function in a class of transformers: the shared experts behind a gate of zeros, doubled.
TEST_F(DeepseekFamilies, WriteTheFirstVersionAsQwen2Moe) {
  make_v1();
  import_and_export({.family = "qwen2_moe"});
  const SafetensorsFolder back(root_ / "exported");
  EXPECT_TRUE(at::equal(back.load("model.layers.1.mlp.shared_expert.down_proj.weight"),
                        2 * tensor("model.layers.1.mlp.shared_experts.down_proj.weight")));
  EXPECT_FALSE(back.load("model.layers.1.mlp.shared_expert_gate.weight").any().item<bool>());
  EXPECT_EQ(HfConfig(root_ / "exported").json().at("mlp_only_layers").dump(), "[0]");
  const auto again = read_hf_config(root_ / "exported");
  const auto params = read_hf_params(root_ / "exported", again);
  EXPECT_FALSE(again.config.shared_gate);
  EXPECT_TRUE(at::equal(params.at("layers.1.shared.down.weight"),
                        tensor("model.layers.1.mlp.shared_experts.down_proj.weight")));
}

// Without its code transformers could not load the first version.
TEST_F(DeepseekFamilies, WriteTheFirstVersionAsQwen2MoeWhereItsCodeIsNotThere) {
  make_v1();
  config_.erase("auto_map");
  import_and_export();
  EXPECT_EQ(exported_.family, "qwen2_moe");
}

TEST_F(DeepseekFamilies, ReadTheSecondVersion) {
  make_latent(/*is_v3=*/false);
  const auto c = read_config().config;
  EXPECT_EQ(tables_of(c),
            R"({"kind":"latent","kv_rank":7,"q_rank":0,"rope_dim":4,"value_dim":5,"norm_eps":1e-06,"bias":false} )"
            R"({"scaling":1,"kind":"top_k","score":"softmax_pre"})");
  EXPECT_EQ(c.head_dim, 10);
  EXPECT_EQ(c.rope_pairs, ops::RotaryPairs::interleaved);
  EXPECT_EQ(c.norm_eps, 1e-5);  // and 1e-6 of the latent vectors
  EXPECT_TRUE(c.balance.terms.empty());
  set("topk_method", "group_limited_greedy");
  set("n_group", 2);
  set("topk_group", 1);
  set("aux_loss_alpha", 0.001);
  const auto grouped = read_config().config;
  EXPECT_EQ(
      grouped.router.to_json().dump(),
      R"({"scaling":1,"kind":"top_k","score":"softmax_pre","n_groups":2,"groups_per_token":1,"group_mask":"zero"})");
  EXPECT_EQ(grouped.balance.terms.at(0).loss.text(), "deepseek_sequence");
  expect_there_and_back();
}

TEST_F(DeepseekFamilies, TakeTheSecondVersionThereAndBack) {
  make_latent(/*is_v3=*/false);
  expect_there_and_back();
  set("q_lora_rank", 9);
  set("attention_bias", true);
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    remove(layer + "self_attn.q_proj.weight");
    add(layer + "self_attn.q_a_proj.weight", {9, 8});
    add(layer + "self_attn.q_a_proj.bias", {9});
    add(layer + "self_attn.q_a_layernorm.weight", {9});
    add(layer + "self_attn.q_b_proj.weight", {40, 9});
    add(layer + "self_attn.kv_a_proj_with_mqa.bias", {11});
    add(layer + "self_attn.o_proj.bias", {8});
  }
  expect_there_and_back();
}

TEST_F(DeepseekFamilies, RefuseWhatTheSecondVersionCannotExpress) {
  make_latent(/*is_v3=*/false);
  expect_refused_setting("norm_topk_prob", "true");
  expect_refused_setting("moe_layer_freq", "2");
  expect_refused_setting("topk_method", R"("noaux_tc")");
  expect_refused_setting("head_dim", "10");
  expect_refused_setting("num_key_value_heads", "2", {"num_key_value_heads", "2", "4, as num_attention_heads"});
  expect_refused_setting("first_k_dense_replace", "2");
  config_.erase("n_routed_experts");
  expect_refusal({"n_routed_experts: got nothing"});
}

TEST_F(DeepseekFamilies, ReadTheThirdVersionWithItsBias) {
  make_latent(/*is_v3=*/true);
  const auto c = read_config().config;
  EXPECT_EQ(c.router.to_json().dump(),
            R"({"kind":"loss_free","score":"sigmoid","group_score":"top2_sum","n_groups":2,"groups_per_token":1,)"
            R"("scaling":2.5,"renormalize":true})");
  const auto source = open_model(folder_);
  const auto states = load_router_states(source, model::Transformer(source.config));
  ASSERT_EQ(states.size(), 1U);
  EXPECT_TRUE(at::equal(states[0].at("bias"), tensor(kBias)));
  import_folder(folder_, root_ / "checkpoint");
  const auto imported = open_model(root_ / "checkpoint");
  EXPECT_TRUE(
      at::equal(load_router_states(imported, model::Transformer(imported.config))[0].at("bias"), tensor(kBias)));
}

TEST_F(DeepseekFamilies, TakeTheThirdVersionThereAndBack) {
  make_latent(/*is_v3=*/true);
  expect_there_and_back();
  set("rope_interleave", false);
  EXPECT_EQ(read_config().config.rope_pairs, ops::RotaryPairs::halves);
  expect_there_and_back();
  set("num_experts_per_tok", 1);  // its weight is divided by itself
  EXPECT_NE(read_config().config.router.find("renormalize_one"), nullptr);
  expect_there_and_back();
}

TEST_F(DeepseekFamilies, PassOverTheLayerOfASecondPrediction) {
  make_latent(/*is_v3=*/true);
  const auto without = tensors_;
  set("num_nextn_predict_layers", 1);
  add("model.layers.2.eh_proj.weight", {8, 16});
  add("model.layers.2.mlp.gate.weight", {4, 8});
  import_and_export();
  EXPECT_TRUE(is_warned_of("2 tensors of layers for multi-token prediction"));
  const SafetensorsFolder back(root_ / "exported");
  EXPECT_EQ(back.names().size(), without.size());
  EXPECT_EQ(HfConfig(root_ / "exported").json().at("num_nextn_predict_layers"), Json(0));
}

// As released: matrices in fp8 beside bf16, those of the layer that is passed over too. They come out as bf16.
TEST_F(DeepseekFamilies, DecodeFp8OfTheThirdVersion) {
  make_latent(/*is_v3=*/true);
  set("quantization_config", Json::parse(R"({"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
      "weight_block_size": [128, 128]})",
                                         "test"));
  const std::string dense = "model.layers.0.mlp.down_proj.weight",
                    expert = "model.layers.1.mlp.experts.2.up_proj.weight",
                    extra = "model.layers.2.mlp.gate_proj.weight";
  add(extra, {5, 8});
  std::map<std::string, at::Tensor> need;
  for (const auto& name : {dense, expert, extra}) {
    auto& stored = tensor(name);
    stored = at::randint(0, 120, stored.sizes(), at::kByte).view(at::kFloat8_e4m3fn);
    const auto scale = at::full({1, 1}, 0.3F);
    need[name] = decode_fp8(stored, scale, "");
    tensors_.emplace_back(name + "_scale_inv", scale);
  }
  const auto params = read();
  EXPECT_TRUE(at::equal(params.at("layers.0.ffn.down.weight"), need.at(dense).to(at::kFloat)));
  EXPECT_TRUE(at::equal(params.at("layers.1.experts.gate_up")[2].narrow(0, 6, 6), need.at(expert).to(at::kFloat)));
  EXPECT_EQ(HfTensors(folder_, read_config()).stored_in(Packing::fp8), (std::vector<std::string>{dense, expert}));
  import_and_export();
  const SafetensorsFolder back(root_ / "exported");
  for (const auto& name : {dense, expert}) {
    EXPECT_EQ(back.find(name)->dtype, at::kBFloat16);
    EXPECT_TRUE(at::equal(back.load(name), need.at(name)));
  }
  EXPECT_FALSE(HfConfig(root_ / "exported").has("quantization_config"));
  remove(dense + "_scale_inv");
  expect_refusal({dense, "F8_E4M3 without"});
}

TEST_F(DeepseekFamilies, PassOverNoMoreLayersThanTheConfigurationSays) {
  make_latent(/*is_v3=*/true);
  add("model.layers.2.eh_proj.weight", {8, 16});
  config_.erase("num_nextn_predict_layers");
  EXPECT_NO_THROW(read());  // one, where nothing is said
  set("num_nextn_predict_layers", 0);
  expect_refusal({"got 1 tensor", "model.layers.2.eh_proj.weight"});
  set("num_nextn_predict_layers", 1);
  add("model.layers.3.eh_proj.weight", {8, 16});
  expect_refusal({"got 1 tensor", "model.layers.3.eh_proj.weight"});
  set("num_nextn_predict_layers", 2);
  EXPECT_NO_THROW(read());
  for (const char* name : {"model.layers.2junk.weight", "model.layers.02.weight", "model.layers.x.weight"}) {
    add(name, {8});
    expect_refusal({"got 1 tensor", name});
    remove(name);
  }
}

TEST_F(DeepseekFamilies, TakeSharedExpertsOfNoWidth) {
  make_latent(/*is_v3=*/true);
  set("n_shared_experts", 0);
  for (const char* name : {"gate_proj.weight", "up_proj.weight"})
    tensor(std::string("model.layers.1.mlp.shared_experts.") + name) = at::ones({0, 8}, at::kBFloat16);
  tensor("model.layers.1.mlp.shared_experts.down_proj.weight") = at::ones({8, 0}, at::kBFloat16);
  EXPECT_EQ(read_config().config.n_shared_experts, 0);
  expect_there_and_back();  // they are written again: the class has them
}

TEST_F(DeepseekFamilies, RefuseWhatTheThirdVersionCannotExpress) {
  make_latent(/*is_v3=*/true);
  expect_refused_setting("scoring_func", R"("softmax")");
  expect_refused_setting("n_group", "3", {"n_groups", "3"});
  remove(kBias);
  expect_refusal({"got no tensor", "e_score_correction_bias"});
}

}  // namespace
}  // namespace evenkeel::checkpoint
