// For tests: a tiny Hugging Face folder with a config.json and random tensors, and its way there and back.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include <ATen/Context.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "checkpoint/export.h"
#include "checkpoint/families.h"
#include "checkpoint/import.h"
#include "checkpoint/model_source.h"
#include "checkpoint/open_weights.h"
#include "checkpoint/safetensors.h"
#include "core/errors.h"
#include "core/json.h"
#include "core/log.h"

namespace evenkeel::checkpoint {

class HfFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(1);
    root_ = fs::temp_directory_path() / ("evenkeel_hf_" + std::to_string(getpid()));
    folder_ = root_ / "model";
    fs::create_directories(folder_);
    set_warning_sink([this](const std::string& line) { warnings_.push_back(line); });
  }
  void TearDown() override {
    set_warning_sink({});
    fs::remove_all(root_);
  }

  void set(const std::string& key, Json value) { config_[key] = std::move(value); }
  void set_config(const std::string& text) { config_ = Json::parse(text, "test"); }
  void add(const std::string& name, std::vector<int64_t> shape, at::ScalarType dtype = at::kFloat) {
    tensors_.emplace_back(name, at::randn(shape).to(dtype));
  }
  at::Tensor& tensor(const std::string& name) {
    for (auto& [entry_name, value] : tensors_)
      if (entry_name == name) return value;
    throw std::logic_error("no tensor " + name + " in the test's folder");
  }
  void remove(const std::string& name) {
    std::erase_if(tensors_, [&](const auto& entry) { return entry.first == name; });
  }
  // V = 11, H = 8
  void add_ends(bool is_tied = false) {
    add("model.embed_tokens.weight", {11, 8});
    add("model.norm.weight", {8});
    if (!is_tied) add("lm_head.weight", {11, 8});
  }
  // 4 heads of 4 (q rows 16), 2 key and value heads (8 rows each)
  void add_projections(const std::string& layer, bool has_bias = false, bool has_out_bias = false) {
    add(layer + "self_attn.q_proj.weight", {16, 8});
    add(layer + "self_attn.k_proj.weight", {8, 8});
    add(layer + "self_attn.v_proj.weight", {8, 8});
    add(layer + "self_attn.o_proj.weight", {8, 16});
    if (has_bias) {
      add(layer + "self_attn.q_proj.bias", {16});
      add(layer + "self_attn.k_proj.bias", {8});
      add(layer + "self_attn.v_proj.bias", {8});
    }
    if (has_out_bias) add(layer + "self_attn.o_proj.bias", {8});
  }
  void add_attention(const std::string& layer, bool has_bias = false, bool has_out_bias = false) {
    add(layer + "input_layernorm.weight", {8});
    add_projections(layer, has_bias, has_out_bias);
    add(layer + "post_attention_layernorm.weight", {8});
  }
  // gate_proj, up_proj, down_proj behind `at`
  void add_gated(const std::string& at, int64_t width, const char* gate = "gate_proj", const char* up = "up_proj",
                 const char* down = "down_proj") {
    add(at + gate + ".weight", {width, 8});
    add(at + up + ".weight", {width, 8});
    add(at + down + ".weight", {8, width});
  }
  // A router and experts of width 6
  void add_experts(const std::string& layer, int64_t n_experts) {
    add(layer + "mlp.gate.weight", {n_experts, 8});
    for (int64_t e = 0; e < n_experts; ++e) add_gated(layer + "mlp.experts." + std::to_string(e) + ".", 6);
  }
  // A whole llama of two layers, in the manner of transformers 5.
  void make_llama() {
    set_config(
        R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 11, "hidden_size": 8,
        "intermediate_size": 6, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
        "hidden_act": "silu", "rms_norm_eps": 1e-6, "max_position_embeddings": 64, "tie_word_embeddings": false, "dtype": "float32",
        "attention_bias": false, "mlp_bias": false, "attention_dropout": 0.0, "pretraining_tp": 1,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}})");
    tensors_.clear();
    add_ends();
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      add_attention(layer);
      add_gated(layer + "mlp.", 6);
    }
  }

  void write() const {
    std::ofstream(folder_ / "config.json") << config_.dump();
    write_safetensors(folder_ / "model.safetensors", tensors_, {});
  }
  HfModel read_config() const {
    write();
    return read_hf_config(folder_);
  }
  // And what stays stored is the same to the bit, whole and expert by expert.
  ops::Params read() const {
    auto params = read_hf_params(folder_, read_config());
    ModelSource source;
    source.folder = folder_;
    const auto stored = open_weights(source, {});
    for (size_t i = 0; i < params.size(); ++i) {
      const auto& need = params.tensor(i);
      EXPECT_TRUE(at::equal(stored->parameter(i), need)) << params.name(i);
      const bool is_of_experts = params.name(i).find(".experts.") != std::string::npos;
      for (int64_t e = 0; is_of_experts && e < need.size(0); ++e)
        EXPECT_TRUE(at::equal(stored->expert(i, e), need[e])) << params.name(i) << " of expert " << e;
    }
    return params;
  }

  // The folder as a checkpoint, and that as a folder again.
  void import_and_export(const ExportOptions& options = {}) {
    write();
    import_folder(folder_, root_ / "checkpoint");
    exported_ = export_model(root_ / "checkpoint", root_ / "exported", options);
  }
  // What comes back is the same model of the same family, each tensor byte by byte.
  void expect_there_and_back() {
    import_and_export();
    EXPECT_EQ(exported_.family, find_family(config_)->model_type);
    const SafetensorsFolder back(root_ / "exported");
    EXPECT_EQ(back.names().size(), tensors_.size());
    for (const auto& [name, value] : tensors_) {
      ASSERT_TRUE(back.contains(name)) << name;
      const auto got = back.load(name);
      EXPECT_EQ(got.scalar_type(), value.scalar_type()) << name;
      EXPECT_TRUE(at::equal(got, value)) << name;
    }
    const auto before = read_hf_config(folder_), after = read_hf_config(root_ / "exported");
    EXPECT_EQ(model::model_config_json(after.config).dump(), model::model_config_json(before.config).dump());
    EXPECT_EQ(after.max_sequence_length, before.max_sequence_length);
    fs::remove(root_ / "exported" / kExportName);  // config.json alone says the same
    EXPECT_EQ(model::model_config_json(read_hf_config(root_ / "exported").config).dump(),
              model::model_config_json(before.config).dump());
    fs::remove_all(root_ / "exported");
    fs::remove_all(root_ / "checkpoint");
  }
  bool is_warned_of(const std::string& word) const {
    for (const auto& line : warnings_)
      if (line.find(word) != std::string::npos) return true;
    return false;
  }

  // Reading the folder as it stands fails with a CheckpointError that has these words.
  void expect_refusal(const std::vector<std::string>& words) const {
    try {
      read();
      FAIL() << "read without an error";
    } catch (const CheckpointError& error) {
      const std::string message = error.what();
      EXPECT_TRUE(message.starts_with(folder_.string())) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      for (const auto& word : words) EXPECT_NE(message.find(word), std::string::npos) << message << "\nneed: " << word;
    }
  }
  // The same with one key of config.json changed.
  void expect_refused_setting(const std::string& key, const std::string& value) {
    expect_refused_setting(key, value, {key, Json::parse(value, "test").dump()});
  }
  void expect_refused_setting(const std::string& key, const std::string& value, const std::vector<std::string>& words) {
    SCOPED_TRACE(key + " = " + value);
    const Json saved = config_;
    config_[key] = Json::parse(value, "test");
    expect_refusal(words);
    config_ = saved;
  }

  fs::path root_, folder_;
  Json config_ = Json::object();
  NamedTensors tensors_;
  Exported exported_;
  std::vector<std::string> warnings_;
};

// [model.attention] and [model.router] as one text.
inline std::string tables_of(const model::ModelConfig& config) {
  return config.attention.to_json().dump() + " " + config.router.to_json().dump();
}

}  // namespace evenkeel::checkpoint
