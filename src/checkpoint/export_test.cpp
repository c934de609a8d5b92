#include "checkpoint/export.h"

#include <limits>

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>

#include "checkpoint/families/test_folder.h"
#include "checkpoint/manifest.h"
#include "checkpoint/router_states.h"
#include "model/layout.h"
#include "model/transformer.h"
#include "support/files.h"

namespace evenkeel::checkpoint {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class Export : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    out_ = root_ / "exported";
  }
  // A checkpoint of a model of evenkeel's own with random weights, as a run writes one.
  fs::path own(const std::string& more) {
    const auto config = model::read_model_config(
        parse_toml("vocab_size = 11\nd_model = 16\nn_layers = 2\nn_heads = 2\nd_ff = 5\n" + more, "m.toml", ""));
    const fs::path folder = root_ / "own";
    save_folder(folder, [&](const fs::path& temporary) {
      NamedTensors params, states;
      for (const auto& spec : model::parameter_table(config)) params.emplace_back(spec.name, at::randn(spec.shape));
      const auto initial = model::Transformer(config).initial_router_states();
      for (size_t i = 0; i < initial.size(); ++i)
        for (const auto& [name, value] : initial[i])
          states.emplace_back(router_state_name(i, name), name == "bias" ? at::randn(value.sizes()) : value);
      write_safetensors(temporary / "model.safetensors", params, {});
      write_safetensors(temporary / "optimizer.safetensors", states, {});
      Json state = Json::Object{
          {"format", kCheckpointFormat}, {"sequence_length", 32}, {"step", 5}, {"tokens", 640}, {"phase", "one"},
          {"phases", Json::array()}};
      state["model"] = model::model_config_json(config);
      std::ofstream(temporary / "state.json") << state.dump();
    });
    return folder;
  }
  fs::path out_;
};
const std::string kExperts = "n_experts = 3\ntop_k = 2\nd_expert = 6\n";

// What a folder that was exported says, read again, is the model in evenkeel's terms: detours are undone exactly.
TEST_F(Export, IsUndoneByReading) {
  for (const std::string& more :
       {std::string(),
        std::string(
            "rotary_fraction = 0.25\nrope_pairs = \"interleaved\"\nattention = {qkv_bias = true, out_bias = true}"),
        kExperts + "n_shared_experts = 2\nrotary_fraction = 0.5\nactivation = \"geglu\"",
        kExperts + "router = {kind = \"loss_free\", rate = 0.2}\nmoe_layers = [1]", kExperts,
        kExperts + "router = {score = \"sigmoid\"}\ntie_embeddings = true",
        kExperts + "qk_norm = true\nrotary_fraction = 0.5\nbalance = {loss = \"switch\", z_coefficient = 0.001}",
        kExperts + "head_dim = 12\nattention = {kind = \"latent\", kv_rank = 8, rope_dim = 4, q_rank = 6}\n"
                   "router = {kind = \"loss_free\"}"}) {
    SCOPED_TRACE(more);
    const auto model = own(more);
    export_model(model, out_);
    const auto before = open_model(model), after = open_model(out_);
    EXPECT_EQ(model::model_config_json(after.config).dump(), model::model_config_json(before.config).dump());
    const auto ours = load_params(before), back = load_params(after);
    ASSERT_EQ(back.size(), ours.size());
    for (const auto& [name, value] : ours) EXPECT_TRUE(at::equal(back.at(name), value)) << name;
    const model::Transformer transformer(before.config);
    const auto states = load_router_states(before, transformer), read = load_router_states(after, transformer);
    for (size_t i = 0; i < states.size(); ++i)
      if (const auto* bias = states[i].find("bias")) {
        EXPECT_TRUE(at::equal(read[i].at("bias"), *bias));
      }
    fs::remove_all(out_);
  }
}

TEST_F(Export, TellsOfDetoursAndOfWhatIsOfTrainingAlone) {
  const auto written = export_model(own(kExperts + "n_shared_experts = 1\nbalance = {loss = \"switch\"}"), out_);
  EXPECT_EQ(written.family, "qwen2_moe");
  EXPECT_THAT(written.notices, Contains(HasSubstr("shared_gate: ")));
  EXPECT_THAT(written.notices, Contains(HasSubstr("the balance loss switch")));
  EXPECT_THAT(written.notices, Contains(HasSubstr("no files of a tokenizer")));
  EXPECT_EQ(read_hf_config(out_).config.balance.terms.at(0).loss.text(), "switch");
  fs::remove(out_ / kExportName);  // then config.json alone speaks
  const auto plain = read_hf_config(out_).config;
  EXPECT_TRUE(plain.shared_gate);
  EXPECT_TRUE(plain.balance.terms.empty());
}

TEST_F(Export, DoesNotUndoWhatWasChangedSince) {
  export_model(own(kExperts + "n_shared_experts = 1"), out_);
  auto tensors = NamedTensors();
  const SafetensorsFile file(out_ / "model.safetensors");
  for (const auto& entry : file.entries()) tensors.emplace_back(entry.name, file.load(entry.name));
  for (auto& [name, value] : tensors)
    if (name.ends_with("layers.0.mlp.shared_expert_gate.weight")) value = value + 1;
  write_safetensors(out_ / "model.safetensors", tensors, {});
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { load_params(open_model(out_)); }),
              HasSubstr("shared_expert_gate.weight': got other values than 0"));
  Json config = HfConfig(out_).json();
  config["rms_norm_eps"] = 0.5;
  std::ofstream(out_ / "config.json") << config.dump();
  const auto read = read_hf_config(out_);  // another model: evenkeel.json is passed over
  EXPECT_EQ(read.config.norm_eps, 0.5);
  EXPECT_TRUE(read.config.shared_gate);
  ASSERT_EQ(read.notices.size(), 1U);
  EXPECT_THAT(read.notices[0], HasSubstr("got another model than that of config.json"));
}

TEST_F(Export, GoesByTheConfigurationWhereThatNamesAnotherFamily) {
  export_model(own(kExperts + "router = {score = \"softmax_post\"}"), out_, {.family = "granitemoe"});
  EXPECT_TRUE(read_hf_config(out_).notices.empty());
  Json config = HfConfig(out_).json();
  config["model_type"] = "granitemoeshared";
  config["architectures"] = Json::Array{"GraniteMoeSharedForCausalLM"};
  std::ofstream(out_ / "config.json") << config.dump();
  const auto read = read_hf_config(out_);
  EXPECT_EQ(read.family, "granitemoeshared");
  EXPECT_TRUE(read.home.detours.empty());
  ASSERT_EQ(read.notices.size(), 1U);
  EXPECT_THAT(read.notices[0], HasSubstr("model_type = \"granitemoeshared\" there); config.json holds"));
}

// What acts in training alone is written anew where the model has something else than its origin says.
TEST_F(Export, DoesNotKeepAStaleLoss) {
  set_config(
      R"({"model_type": "mixtral", "vocab_size": 11, "hidden_size": 8, "intermediate_size": 6, "num_hidden_layers": 1,
      "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "num_local_experts": 2, "num_experts_per_tok": 1,
      "router_aux_loss_coef": 0.02, "router_jitter_noise": 0.1})");
  const std::string layer = "model.layers.0.", moe = layer + "block_sparse_moe.";
  add_ends();
  add_attention(layer);
  add(moe + "gate.weight", {2, 8});
  for (const std::string expert : {"experts.0.", "experts.1."}) add_gated(moe + expert, 6, "w1", "w3", "w2");
  import_and_export();
  EXPECT_EQ(HfConfig(out_).json().at("router_aux_loss_coef"), Json(0.02));
  EXPECT_EQ(HfConfig(out_).json().at("router_jitter_noise"), Json(0.1));
  EXPECT_THAT(exported_.notices, Not(Contains(HasSubstr("in training alone"))));
  const fs::path imported = root_ / "checkpoint", other = root_ / "other";
  const auto notices_with = [&](const char* loss, double coefficient, double jitter) {
    Json state = Json::parse(read_file(imported / "state.json"), "state");
    auto config = model::model_config_from_json(state.at("model"), "state");
    config.balance.terms = {{loss, coefficient}};
    state["model"] = model::model_config_json(config);
    state["model"]["router"]["jitter"] = jitter;
    save_folder(other, [&](const fs::path& temporary) {
      for (const char* name : {"model.safetensors", "optimizer.safetensors", "origin"})
        fs::copy(imported / name, temporary / name, fs::copy_options::recursive);
      std::ofstream(temporary / "state.json") << state.dump();
    });
    return export_model(other, out_).notices;
  };
  EXPECT_THAT(notices_with("switch", 0.01, 0.1), Contains(HasSubstr("only: the balance loss switch")));
  EXPECT_EQ(HfConfig(out_).json().at("router_aux_loss_coef"), Json(0.0));
  EXPECT_EQ(HfConfig(out_).json().at("router_jitter_noise"), Json(0.1));
  EXPECT_THAT(notices_with("hf", 0.5, 0.3), Not(Contains(HasSubstr("in training alone"))));
  EXPECT_EQ(HfConfig(out_).json().at("router_aux_loss_coef"), Json(0.5));
  EXPECT_EQ(HfConfig(out_).json().at("router_jitter_noise"), Json(0.3));
}

TEST_F(Export, RefusesWhatATypeCannotHoldAndNothingElse) {
  make_llama();
  const float infinity = std::numeric_limits<float>::infinity();
  tensor("model.norm.weight")[0] = infinity;
  tensor("model.norm.weight")[1] = std::numeric_limits<float>::quiet_NaN();
  import_and_export({.dtype = at::kHalf});
  EXPECT_EQ(SafetensorsFolder(out_).load("model.norm.weight")[0].item<float>(), infinity);
  tensor("model.norm.weight")[2] = 1e6F;  // more than fp16 has
  fs::remove_all(root_ / "checkpoint");
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { import_and_export({.dtype = at::kHalf}); }),
              HasSubstr("tensor model.norm.weight: got a value beyond its type, F16"));
}

TEST_F(Export, CutsFilesAtTheirMostBytes) {
  make_llama();
  import_and_export({.shard_bytes = 1000});
  EXPECT_FALSE(fs::exists(out_ / "model.safetensors"));
  const Json index = Json::parse(read_file(out_ / "model.safetensors.index.json"), "index");
  int64_t total = 0;
  for (const auto& [name, value] : tensors_) {
    EXPECT_NE(index.at("weight_map").find(name), nullptr) << name;
    total += static_cast<int64_t>(value.nbytes());
  }
  EXPECT_EQ(index.at("metadata").at("total_size"), Json(total));
  for (const auto& entry : fs::directory_iterator(out_)) {
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile file(entry.path());
    EXPECT_TRUE(file.entries().size() == 1 || file.entries().back().end - file.entries().front().begin <= 1000);
  }
  const auto params = load_params(open_model(out_));
  EXPECT_TRUE(at::equal(params.at("head.weight"), tensor("lm_head.weight")));
}

TEST_F(Export, WritesAnotherTypeWhereItIsAsked) {
  make_llama();
  import_and_export({.dtype = at::kBFloat16});
  EXPECT_TRUE(
      at::equal(SafetensorsFolder(out_).load("model.norm.weight"), tensor("model.norm.weight").to(at::kBFloat16)));
  const Json config = HfConfig(out_).json();
  EXPECT_EQ(config.at("dtype"), Json("bfloat16"));
  EXPECT_EQ(config.at("torch_dtype"), Json("bfloat16"));
}

TEST_F(Export, KeepsTheConfigurationAndTokenizerOfTheOrigin) {
  make_llama();
  set("bos_token_id", 1);
  set("eos_token_id", Json::Array{2, 3});
  std::ofstream(folder_ / "tokenizer.json") << "{\"model\": 1}";
  std::ofstream(folder_ / "generation_config.json") << "{\"do_sample\": true}";
  import_and_export();
  EXPECT_EQ(read_file(out_ / "tokenizer.json"), "{\"model\": 1}");
  EXPECT_EQ(read_file(out_ / "generation_config.json"), "{\"do_sample\": true}");
  const Json config = HfConfig(out_).json();
  EXPECT_EQ(config.at("bos_token_id"), Json(1));
  EXPECT_EQ(config.at("eos_token_id").dump(), "[2,3]");
  EXPECT_EQ(config.at("pretraining_tp"), Json(1));
  EXPECT_THAT(exported_.notices, Not(Contains(HasSubstr("tokenizer"))));
}

TEST_F(Export, RefusesBeforeItWrites) {
  const auto refusal = [&](const std::string& more) {
    return testing::message_of<CheckpointError>([&] { export_model(own(more), out_); });
  };
  EXPECT_THAT(refusal(kExperts + "router = {kind = \"expert_choice\"}\nbalance = {loss = []}"),
              HasSubstr("'expert_choice'"));
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { export_model(own(""), out_, {.family = "olmoe"}); }),
              HasSubstr("--family olmoe"));
  EXPECT_FALSE(fs::exists(out_));
  make_llama();
  write();
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { export_model(folder_, out_); }),
              HasSubstr("need a checkpoint or run"));
}

TEST_F(Export, ReplacesItsOwnFolderAndNothingElse) {
  export_model(own(""), out_);
  export_model(own("n_kv_heads = 1"), out_);
  EXPECT_EQ(read_hf_config(out_).config.n_kv_heads, 1);
  std::ofstream(out_ / "notes.txt") << "mine";
  EXPECT_THAT(testing::message_of<ConfigError>([&] { export_model(own(""), out_); }),
              HasSubstr("that evenkeel did not write"));
  EXPECT_EQ(read_file(out_ / "notes.txt"), "mine");
}

}  // namespace
}  // namespace evenkeel::checkpoint
