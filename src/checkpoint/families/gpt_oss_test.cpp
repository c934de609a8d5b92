#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>

#include "checkpoint/families/test_folder.h"
#include "checkpoint/packed_weights.h"

namespace evenkeel::checkpoint {
namespace {

// H = I = 32, which tells no orientation; 4 heads of 8, 2 of keys and values; 3 experts.
class GptOssFamily : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    set_config(
        R"({"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "vocab_size": 11, "hidden_size": 32,
        "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "num_local_experts": 3, "num_experts_per_tok": 2, "experts_per_token": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"], "swiglu_limit": 5.0, "attention_bias": true,
        "rope_theta": 150000, "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0,
        "truncate": false, "original_max_position_embeddings": 4096}, "initial_context_length": 4096,
        "max_position_embeddings": 131072, "router_aux_loss_coef": 0.9, "torch_dtype": "bfloat16"})");
    add("model.embed_tokens.weight", {11, 32}, at::kBFloat16);
    add("model.norm.weight", {32}, at::kBFloat16);
    add("lm_head.weight", {11, 32}, at::kBFloat16);
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) add_layer(layer);
  }
  void add_layer(const std::string& layer) {
    const auto put = [&](const std::string& name, std::vector<int64_t> shape) {
      add(layer + name, std::move(shape), at::kBFloat16);
    };
    for (const char* norm : {"input_layernorm.weight", "post_attention_layernorm.weight"}) put(norm, {32});
    for (const auto& [name, rows] : {std::pair("q", 32), {"k", 16}, {"v", 16}, {"o", 32}}) {
      put(join_parts("self_attn.", name, "_proj.weight"), {rows, 32});
      put(join_parts("self_attn.", name, "_proj.bias"), {rows});
    }
    put("self_attn.sinks", {4});
    put("mlp.router.weight", {3, 32});
    put("mlp.router.bias", {3});
    put("mlp.experts.gate_up_proj", {3, 32, 64});
    put("mlp.experts.gate_up_proj_bias", {3, 64});
    put("mlp.experts.down_proj", {3, 32, 32});
    put("mlp.experts.down_proj_bias", {3, 32});
  }
  // The experts of both layers as the hub has them.
  void pack() {
    set("quantization_config",
        Json::parse(R"({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]})", "test"));
    for (const std::string layer : {"model.layers.0.", "model.layers.1."})
      for (const auto& [name, rows] : {std::pair("gate_up_proj", int64_t{64}), {"down_proj", int64_t{32}}}) {
        const std::string at = layer + "mlp.experts." + name;
        remove(at);
        tensors_.emplace_back(at + "_blocks", at::randint(0, 256, {3, rows, 1, 16}, at::kByte));
        tensors_.emplace_back(at + "_scales", at::randint(115, 125, {3, rows, 1}, at::kByte));
      }
  }
  const std::string kExperts = "model.layers.1.mlp.experts.";
};

TEST_F(GptOssFamily, ReadsTheConfiguration) {
  const auto c = read_config().config;
  EXPECT_EQ(c.activation, ops::Activation::swiglu_clamped);
  EXPECT_EQ(std::vector<double>({c.activation_alpha, c.activation_limit}), std::vector<double>({1.702, 5}));
  EXPECT_TRUE(c.expert_bias && c.router_bias && !c.ffn_bias);
  EXPECT_EQ(tables_of(c),
            R"({"kind":"grouped","qkv_bias":true,"out_bias":true,"window":4,"window_layers":[0],"sinks":true} )"
            R"({"kind":"top_k","score":"softmax_post"})");
  EXPECT_EQ(c.balance.terms.at(0).coefficient, 0.9);
  const auto& yarn = std::get<ops::YarnScaling>(c.rope_scaling.value);
  EXPECT_EQ(yarn.original_length, 4096);
  EXPECT_FALSE(yarn.truncate);
  for (const char* key : {"rope_scaling", "rope_theta", "layer_types", "sliding_window", "swiglu_limit", "head_dim"})
    config_.erase(key);
  const auto usual = read_config();  // the class's own
  EXPECT_EQ(std::get<ops::YarnScaling>(usual.config.rope_scaling.value), yarn);
  EXPECT_EQ(usual.config.rope_theta, 150000);
  EXPECT_EQ(usual.config.activation_limit, 7);
  EXPECT_EQ(usual.config.head_dim, 64);
  EXPECT_EQ(usual.config.attention.find("window")->to_json(), Json(128));
  EXPECT_EQ(usual.config.attention.find("window_layers")->to_json().dump(), "[0]");
}

// Column 2 j of the file is row j of the gate, column 2 j + 1 that of up.
TEST_F(GptOssFamily, TakesGateAndUpApart) {
  const auto params = read();
  const auto& gate_up = params.at("layers.1.experts.gate_up");
  const auto& bias = params.at("layers.1.experts.gate_up_bias");
  for (const int64_t e : {0, 2})
    for (const int64_t j : {0, 1, 31})
      for (const int64_t up : {0, 1}) {
        const auto column = tensor(kExperts + "gate_up_proj")[e].select(1, 2 * j + up).to(at::kFloat);
        EXPECT_TRUE(at::equal(gate_up[e][32 * up + j], column)) << e << " " << j << " " << up;
        EXPECT_TRUE(
            at::equal(bias[e][32 * up + j], tensor(kExperts + "gate_up_proj_bias")[e][2 * j + up].to(at::kFloat)));
      }
  EXPECT_TRUE(
      at::equal(params.at("layers.1.experts.down"), tensor(kExperts + "down_proj").transpose(1, 2).to(at::kFloat)));
  EXPECT_TRUE(at::equal(params.at("layers.0.router.bias"), tensor("model.layers.0.mlp.router.bias").to(at::kFloat)));
}

TEST_F(GptOssFamily, GoesThereAndBack) {
  expect_there_and_back();
  set("layer_types", Json::parse(R"(["full_attention", "full_attention"])", "test"));
  expect_there_and_back();
  set("num_experts_per_tok", 1);
  set("experts_per_token", 1);
  expect_there_and_back();
}

// What is in MXFP4 comes in and goes out as bf16, and that is said.
TEST_F(GptOssFamily, DecodesTheExpertsOfTheHub) {
  pack();
  const auto params = read();
  const auto decoded =
      decode_mxfp4(tensor(kExperts + "gate_up_proj_blocks"), tensor(kExperts + "gate_up_proj_scales"), "");
  for (const int64_t j : {0, 5, 31}) {
    EXPECT_TRUE(at::equal(params.at("layers.1.experts.gate_up")[1][j], decoded[1][2 * j].to(at::kFloat))) << j;
    EXPECT_TRUE(at::equal(params.at("layers.1.experts.gate_up")[1][32 + j], decoded[1][2 * j + 1].to(at::kFloat))) << j;
  }
  EXPECT_EQ(HfTensors(folder_, read_config()).stored_in(Packing::mxfp4).size(), 4U);
  import_and_export();
  const SafetensorsFolder back(root_ / "exported");
  EXPECT_TRUE(at::equal(back.load(kExperts + "gate_up_proj"), decoded.transpose(1, 2)));
  EXPECT_EQ(back.find(kExperts + "gate_up_proj")->dtype, at::kBFloat16);
  EXPECT_FALSE(HfConfig(root_ / "exported").has("quantization_config"));
  const auto again = read_hf_params(root_ / "exported", read_hf_config(root_ / "exported"));
  for (const auto& [name, value] : params) EXPECT_TRUE(at::equal(again.at(name), value)) << name;
}

TEST_F(GptOssFamily, RefusesWhatItCannotExpress) {
  expect_refused_setting("hidden_act", "\"gelu\"");
  expect_refused_setting("experts_per_token", "3");
  expect_refused_setting("swiglu_limit", "0", {"activation_limit", "more than 0"});
  expect_refused_setting("quantization_config", R"({"quant_method":"gptq"})");
  expect_refused_setting("quantization_config", R"({"quant_method":"fp8","fmt":"e5m2","weight_block_size":[128,128]})",
                         {"quantization_config: fmt"});
  expect_refused_setting("quantization_config", R"({"quant_method":"fp8","weight_block_size":[64,64]})",
                         {"quantization_config: weight_block_size", "[128,128]"});
  pack();
  tensor(kExperts + "down_proj_scales") = at::full({3, 32, 1}, 255, at::kByte);
  expect_refusal({"down_proj", "got a scale of 255"});
  tensor(kExperts + "down_proj_scales") = at::full({3, 32, 2}, 120, at::kByte);
  expect_refusal({"down_proj_scales", "got U8 [3,32,2]; need U8 [3,32,1]"});
}

}  // namespace
}  // namespace evenkeel::checkpoint
