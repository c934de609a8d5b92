#include "checkpoint/families/test_folder.h"
#include "checkpoint/manifest.h"
#include "core/file_io.h"

namespace evenkeel::checkpoint {
namespace {

// H = 8, 4 heads of 4 (no H / heads), I = 6; layers 1 and 3 of four have 3 experts.
class OpenMoeFamily : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    set_config(
        R"({"model_type": "llama", "architectures": ["OpenMoeForCausalLM"], "auto_map": {"AutoModelForCausalLM":
        "modeling_openmoe.OpenMoeForCausalLM"}, "vocab_size": 11, "hidden_size": 8, "intermediate_size": 6,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 4, "moe_layer_interval": 2,
        "num_experts": 3, "router_topk": 2, "router_capacity_factor_train": 1.25, "router_capacity_factor_eval": 2.0,
        "router_min_capacity": 4, "router_drop_tks": true, "router_noisy_policy": null, "router_aux_loss_factor": 0.01,
        "router_z_loss_factor": 0.0001, "mlp_gated": true, "hidden_act": "swiglu", "label_smoothing": 0.001, "z_loss_factor": 0.01,
        "rms_norm_eps": 1e-06, "layer_norm_epsilon": 1e-06, "rope_theta": 10000.0, "rope_scaling": null,
        "max_position_embeddings": 2048, "bos_token_id": 0, "pad_token_id": 0, "eos_token_id": 1, "tie_word_embeddings": false,
        "enable_load_balance": false, "enable_kernel": true, "expert_parallel": "EP", "attention_bias": false,
        "torch_dtype": "float32"})");
    add("model.embed_tokens.weight", {11, 8});
    for (int64_t i = 0; i < 4; ++i) add_layer("model.layers." + std::to_string(i) + ".", i % 2 == 1);
    add("model.norm.weight", {8});
    add("lm_head.weight", {11, 8});
  }
  void add_layer(const std::string& layer, bool has_experts) {
    for (const char* norm : {"input_layernorm.weight", "post_attention_layernorm.weight"}) add(layer + norm, {8});
    for (const char* name : {"q", "k", "v"}) add(layer + "self_attn." + name + "_proj.weight", {16, 8});
    add(layer + "self_attn.o_proj.weight", {8, 16});
    if (!has_experts) return add_double(layer + "mlp.");
    add(layer + "mlp.gate_weight", {3, 8});
    add(layer + "mlp.experts.wi_gate", {3, 8, 12});
    add(layer + "mlp.experts.wi_up", {3, 8, 6});
    add(layer + "mlp.experts.wo", {3, 6, 8});
    add(layer + "pre_extra_mlp_layernorm.weight", {8});
    add_double(layer + "extra_mlp.");
  }
  void add_double(const std::string& at) {
    add(at + "gate_proj.weight", {12, 8});
    add(at + "up_proj.weight", {6, 8});
    add(at + "down_proj.weight", {8, 6});
  }
  void rename(const char* from, const char* to) {
    const Json value = config_.at(from);
    config_.erase(from);
    config_[to] = value;
  }
  // As ColossalAI's own example spells it.
  void spell_otherwise() {
    for (const char* name : {"topk", "capacity_factor_train", "capacity_factor_eval", "min_capacity", "drop_tks",
                             "noisy_policy", "aux_loss_factor"})
      rename((std::string("router_") + name).c_str(), name);
    rename("mlp_gated", "gated");
  }
};

TEST_F(OpenMoeFamily, IsKnownByItsIntervalWhateverTheTypeSays) {
  const auto model = read_config();
  const auto& c = model.config;
  EXPECT_EQ(model.family, "openmoe");
  EXPECT_EQ(std::vector<int64_t>({c.n_experts, c.top_k, c.d_expert, c.d_ff, c.d_extra, c.head_dim}),
            std::vector<int64_t>({3, 2, 6, 6, 6, 4}));
  EXPECT_EQ(to_json(c.moe_layers).dump(), "\"every 2\"");
  EXPECT_EQ(c.activation, ops::Activation::swiglu_double);
  EXPECT_EQ(tables_of(c), R"({"kind":"grouped","scale":1} {"kind":"top_k","score":"softmax_pre"})");
  EXPECT_EQ(c.capacity, moe::capacity_rule("colossalai", ""));
  EXPECT_EQ(c.balance.terms.at(0).loss.text(), "flaxformer");
  EXPECT_EQ(c.balance.terms.at(0).coefficient, 0.01);
  EXPECT_EQ(c.balance.z_coefficient, 1e-4);
  EXPECT_EQ(c.balance.z_reduce, moe::ZReduction::mean);
  ASSERT_EQ(model.notices.size(), 2U);  // of losses that evenkeel does not have
  EXPECT_NE(model.notices[0].find("label_smoothing"), std::string::npos);
}

TEST_F(OpenMoeFamily, IsReadInBothSpellings) {
  set("router_capacity_factor_eval", 1.5);
  const auto first = model::model_config_json(read_config().config).dump();
  spell_otherwise();
  EXPECT_EQ(model::model_config_json(read_config().config).dump(), first);
  expect_there_and_back();
  set("router_topk", 1);
  expect_refusal({"topk: got 2", "need 1, as router_topk says"});
}

// The file holds [in, out]; the gate, twice as wide, comes first.
TEST_F(OpenMoeFamily, ReadsItsTensors) {
  const auto params = read();
  const std::string at = "model.layers.3.";
  const auto& gate_up = params.at("layers.3.experts.gate_up");
  EXPECT_TRUE(at::equal(gate_up.narrow(1, 0, 12), tensor(at + "mlp.experts.wi_gate").transpose(1, 2)));
  EXPECT_TRUE(at::equal(gate_up.narrow(1, 12, 6), tensor(at + "mlp.experts.wi_up").transpose(1, 2)));
  EXPECT_TRUE(at::equal(params.at("layers.3.experts.down"), tensor(at + "mlp.experts.wo").transpose(1, 2)));
  EXPECT_TRUE(at::equal(params.at("layers.3.extra_norm.weight"), tensor(at + "pre_extra_mlp_layernorm.weight")));
  EXPECT_TRUE(
      at::equal(params.at("layers.3.extra.gate_up.weight").narrow(0, 12, 6), tensor(at + "extra_mlp.up_proj.weight")));
  EXPECT_TRUE(at::equal(params.at("layers.2.ffn.gate_up.weight").narrow(0, 0, 12),
                        tensor("model.layers.2.mlp.gate_proj.weight")));
}

// With its code, and config.json as it came, to the byte.
TEST_F(OpenMoeFamily, GoesThereAndBackWithItsFilesAsTheyCame) {
  std::ofstream(folder_ / "modeling_openmoe.py") << "# code\n";
  expect_there_and_back();
  import_and_export();
  EXPECT_EQ(read_file(root_ / "exported" / "config.json"), read_file(folder_ / "config.json"));
  EXPECT_EQ(read_file(root_ / "exported" / "modeling_openmoe.py"), "# code\n");
}

// What acts in training alone is written anew under the name that the file has for it. A key that the file leaves out
// has the default of the code, so nothing is lost without it.
TEST_F(OpenMoeFamily, WritesItsTrainingAnewInItsOwnSpelling) {
  spell_otherwise();
  config_.erase("router_z_loss_factor");
  import_and_export();
  EXPECT_FALSE(HfConfig(root_ / "exported").has("router_z_loss_factor"));
  for (const auto& notice : exported_.notices) EXPECT_EQ(notice.find("in training alone"), std::string::npos) << notice;
  const fs::path path = root_ / "checkpoint" / "state.json", other = root_ / "other";
  Json state = Json::parse(read_file(path), "state");
  auto config = model::model_config_from_json(state.at("model"), "state");
  config.balance.terms.at(0).coefficient = 0.5;
  config.balance.z_coefficient = 0.25;
  config.capacity.factor_train = 3;
  state["model"] = model::model_config_json(config);
  save_folder(other, [&](const fs::path& temporary) {
    for (const char* name : {"model.safetensors", "optimizer.safetensors", "origin"})
      fs::copy(root_ / "checkpoint" / name, temporary / name, fs::copy_options::recursive);
    std::ofstream(temporary / "state.json") << state.dump();
  });
  for (const auto& notice : export_model(other, root_ / "exported", {}).notices)
    EXPECT_EQ(notice.find("in training alone"), std::string::npos) << notice;
  const Json written = HfConfig(root_ / "exported").json();
  EXPECT_EQ(written.at("aux_loss_factor"), Json(0.5));
  EXPECT_EQ(written.at("router_z_loss_factor"), Json(0.25));
  EXPECT_TRUE(is_same_setting(written.at("capacity_factor_train"), Json(3)));
  for (const char* key : {"router_aux_loss_factor", "router_capacity_factor_train"})
    EXPECT_EQ(written.find(key), nullptr) << key;
}

TEST_F(OpenMoeFamily, HasNoOtherHome) {
  config_.erase("auto_map");
  write();
  import_folder(folder_, root_ / "checkpoint");
  try {
    export_model(root_ / "checkpoint", root_ / "exported", {});
    FAIL() << "exported";
  } catch (const CheckpointError& error) {
    EXPECT_NE(std::string(error.what()).find("no Hugging Face class can express"), std::string::npos) << error.what();
  }
}

TEST_F(OpenMoeFamily, RefusesWhatItCannotExpress) {
  expect_refused_setting("rope_theta", "5000.0", {"rope_theta: got 5000", "10000"});
  expect_refused_setting("rope_scaling", R"({"type":"linear","factor":2.0})", {"rope_scaling"});
  expect_refused_setting("hidden_act", "\"silu\"");
  expect_refused_setting("num_key_value_heads", "2");
  expect_refused_setting("router_noisy_policy", "\"Jitter\"");
  expect_refused_setting("mlp_gated", "false");
  expect_refused_setting("router_capacity_factor_eval", "0", {"factor_eval", "more than 0"});
  expect_refused_setting("router_z_loss_factor", "-1", {"router_z_loss_factor: got -1"});
  expect_refused_setting("moe_layer_interval", "5", {"moe_layers", "every 5"});
  expect_refused_setting("moe_layer_interval", "0", {"moe_layer_interval", "1.."});
  expect_refused_setting("moe_layer_interval", "4", {"mlp.gate_proj.weight"});  // layer 1 then has none
  set("router_drop_tks", false);
  const auto notices = read_config().notices;  // the class drops all the same
  EXPECT_NE(notices.at(0).find("router_drop_tks: got false"), std::string::npos) << notices.at(0);
}

}  // namespace
}  // namespace evenkeel::checkpoint
