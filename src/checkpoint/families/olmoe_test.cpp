#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/stack.h>

#include "checkpoint/families/test_folder.h"

namespace evenkeel::checkpoint {
namespace {

// H = 8, 2 heads of 4, 3 experts of width 6, top-2
class OlmoeFamily : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    config_ = Json::parse(
        R"({"model_type": "olmoe", "architectures": ["OlmoeForCausalLM"], "vocab_size": 11, "hidden_size": 8,
        "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2, "num_experts": 3, "num_experts_per_tok": 2,
        "norm_topk_prob": true, "router_aux_loss_coef": 0.02, "clip_qkv": null, "max_position_embeddings": 64, "rope_theta": 10000.0,
        "rope_scaling": null, "torch_dtype": "bfloat16", "output_router_logits": false})",
        "test");
    add("model.embed_tokens.weight", {11, 8});
    add(kLayer + "input_layernorm.weight", {8});
    for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"})
      add(kLayer + "self_attn." + name + ".weight", {8, 8});
    for (const char* name : {"q_norm", "k_norm"}) add(kLayer + "self_attn." + name + ".weight", {8});
    add(kLayer + "post_attention_layernorm.weight", {8});
    add(kLayer + "mlp.gate.weight", {3, 8});
    for (const std::string expert : {"0.", "1.", "2."}) {
      add(kLayer + "mlp.experts." + expert + "gate_proj.weight", {6, 8});
      add(kLayer + "mlp.experts." + expert + "up_proj.weight", {6, 8});
      add(kLayer + "mlp.experts." + expert + "down_proj.weight", {8, 6});
    }
    add("model.norm.weight", {8});
    add("lm_head.weight", {11, 8});
  }
  // [3, 12, 8] and [3, 8, 6]
  std::pair<at::Tensor, at::Tensor> stacked() {
    std::vector<at::Tensor> gate_up, down;
    for (const std::string expert : {"0.", "1.", "2."}) {
      const std::string at = kLayer + "mlp.experts." + expert;
      gate_up.push_back(at::cat({tensor(at + "gate_proj.weight"), tensor(at + "up_proj.weight")}));
      down.push_back(tensor(at + "down_proj.weight"));
    }
    return {at::stack(gate_up), at::stack(down)};
  }
  void fuse() {
    const auto [gate_up, down] = stacked();
    std::erase_if(tensors_, [](const auto& entry) { return entry.first.find("mlp.experts.") != std::string::npos; });
    tensors_.emplace_back(kLayer + "mlp.experts.gate_up_proj", gate_up);
    tensors_.emplace_back(kLayer + "mlp.experts.down_proj", down);
  }

  const std::string kLayer = "model.layers.0.";
};

TEST_F(OlmoeFamily, ReadsTheConfiguration) {
  const auto c = read_config().config;
  EXPECT_EQ(std::vector<int64_t>({c.n_experts, c.top_k, c.d_expert, c.n_kv_heads, c.head_dim, c.n_shared_experts}),
            std::vector<int64_t>({3, 2, 6, 2, 4, 0}));
  EXPECT_EQ(c.qk_norm, model::QkNorm::whole);
  EXPECT_EQ(c.norm_eps, 1e-5);  // the class's default
  EXPECT_EQ(c.router.to_json().dump(), R"({"kind":"top_k","score":"softmax_pre","renormalize":true})");
  ASSERT_EQ(c.balance.terms.size(), 1U);
  EXPECT_EQ(c.balance.terms[0].loss.text(), "hf");
  EXPECT_EQ(c.balance.terms[0].coefficient, 0.02);
}

TEST_F(OlmoeFamily, StacksTheExperts) {
  const auto params = read();
  const auto [gate_up, down] = stacked();
  EXPECT_TRUE(at::equal(params.at("layers.0.experts.gate_up"), gate_up));
  EXPECT_TRUE(at::equal(params.at("layers.0.experts.down"), down));
  EXPECT_TRUE(at::equal(params.at("layers.0.router.weight"), tensor(kLayer + "mlp.gate.weight")));
  EXPECT_TRUE(at::equal(params.at("layers.0.attention.q_norm.weight"), tensor(kLayer + "self_attn.q_norm.weight")));
  EXPECT_TRUE(at::equal(params.at("layers.0.attention.k_norm.weight"), tensor(kLayer + "self_attn.k_norm.weight")));
}

TEST_F(OlmoeFamily, ReadsFusedExpertsToTheSameValues) {
  const auto by_expert = read();
  fuse();
  const auto fused = read();
  ASSERT_EQ(fused.size(), by_expert.size());
  for (const auto& [name, value] : by_expert) EXPECT_TRUE(at::equal(fused.at(name), value)) << name;
}

TEST_F(OlmoeFamily, RefusesExpertsInTwoLayouts) {
  const auto [gate_up, down] = stacked();
  tensors_.emplace_back(kLayer + "mlp.experts.gate_up_proj", gate_up);
  expect_refusal({"1 tensor that", "mlp.experts.gate_up_proj"});
}

TEST_F(OlmoeFamily, RefusesAMissingAndASurplusExpert) {
  remove(kLayer + "mlp.experts.1.up_proj.weight");
  expect_refusal({"mlp.experts.1.up_proj.weight", "[6, 8]"});
  add(kLayer + "mlp.experts.1.up_proj.weight", {6, 8});
  add(kLayer + "mlp.experts.3.up_proj.weight", {6, 8});
  expect_refusal({"1 tensor that", "mlp.experts.3.up_proj.weight"});
}

TEST_F(OlmoeFamily, RefusesTransposedFusedExperts) {
  fuse();
  auto& gate_up = tensor(kLayer + "mlp.experts.gate_up_proj");
  gate_up = gate_up.transpose(1, 2).contiguous();
  expect_refusal({"gate_up_proj", "[3, 8, 12]", "[3, 12, 8]"});
}

TEST_F(OlmoeFamily, RefusesWhatItCannotExpress) {
  expect_refused_setting("clip_qkv", "\"wide\"");
  expect_refused_setting("head_dim", "6");
  expect_refused_setting("sliding_window", "16");
  set("num_experts_per_tok", 4);
  expect_refusal({"top_k = 4", "1..3"});
}

TEST_F(OlmoeFamily, ReadsTheClip) {
  set("clip_qkv", 8.0);
  EXPECT_EQ(read_config().config.attention.find("clip")->to_json(), Json(8.0));
  expect_there_and_back();
}

TEST_F(OlmoeFamily, GoesThereAndBack) {
  expect_there_and_back();
  set("num_experts_per_tok", 1);
  for (const bool is_divided : {true, false}) {  // by itself
    set("norm_topk_prob", is_divided);
    EXPECT_EQ(read_config().config.router.find("renormalize_one") != nullptr, is_divided);
    expect_there_and_back();
  }
  for (auto& [name, value] : tensors_) value = value.to(at::kBFloat16);
  tensor(kLayer + "mlp.experts.2.up_proj.weight") = at::randn({6, 8});  // one expert's in fp32
  tensor(kLayer + "mlp.experts.1.up_proj.weight") = at::randn({6, 8}).to(at::kHalf);
  expect_there_and_back();
}

TEST_F(OlmoeFamily, GoesThereAndBackInTheLayoutThatItHas) {
  const auto one_by_one = tensors_;
  fuse();
  for (const auto& [name, value] : one_by_one)
    if (name.starts_with(kLayer)) add("model.layers.1." + name.substr(kLayer.size()), value.sizes().vec());
  set("num_hidden_layers", 2);
  expect_there_and_back();
  tensor(kLayer + "mlp.experts.down_proj") = tensor(kLayer + "mlp.experts.down_proj").to(at::kBFloat16);
  expect_there_and_back();
}

TEST_F(OlmoeFamily, HasNoBalanceLossAtCoefficientZero) {
  set("router_aux_loss_coef", 0);
  EXPECT_TRUE(read_config().config.balance.terms.empty());
  set("router_aux_loss_coef", -0.5);
  expect_refusal({"router_aux_loss_coef", "-0.5"});
}

}  // namespace
}  // namespace evenkeel::checkpoint
