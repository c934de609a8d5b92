// For tests: a tiny Hugging Face folder with a config.json and random tensors.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include <ATen/Context.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "checkpoint/families.h"
#include "checkpoint/safetensors.h"
#include "core/errors.h"
#include "core/json.h"

namespace evenkeel::checkpoint {

class HfFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(1);
    folder_ = fs::temp_directory_path() / ("evenkeel_hf_" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  void set(const std::string& key, Json value) { config_[key] = std::move(value); }
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
  // H = 8, V = 11, 4 heads of 4 (q rows 16), 2 key and value heads (8 rows each), embedding to head without the FFN
  void add_attention(const std::string& layer) {
    add(layer + "input_layernorm.weight", {8});
    add(layer + "self_attn.q_proj.weight", {16, 8});
    add(layer + "self_attn.k_proj.weight", {8, 8});
    add(layer + "self_attn.v_proj.weight", {8, 8});
    add(layer + "self_attn.o_proj.weight", {8, 16});
    add(layer + "post_attention_layernorm.weight", {8});
  }
  // A whole llama of two layers, in the manner of transformers 5.
  void make_llama() {
    config_ = Json::parse(
        R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 11, "hidden_size": 8,
        "intermediate_size": 6, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4,
        "hidden_act": "silu", "rms_norm_eps": 1e-6, "max_position_embeddings": 64, "tie_word_embeddings": false, "dtype": "float32",
        "attention_bias": false, "mlp_bias": false, "attention_dropout": 0.0, "pretraining_tp": 1,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}})",
        "test");
    tensors_.clear();
    add("model.embed_tokens.weight", {11, 8});
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      add_attention(layer);
      add(layer + "mlp.gate_proj.weight", {6, 8});
      add(layer + "mlp.up_proj.weight", {6, 8});
      add(layer + "mlp.down_proj.weight", {8, 6});
    }
    add("model.norm.weight", {8});
    add("lm_head.weight", {11, 8});
  }

  void write() const {
    std::ofstream(folder_ / "config.json") << config_.dump();
    write_safetensors(folder_ / "model.safetensors", tensors_, {});
  }
  HfModel read_config() const {
    write();
    return read_hf_config(folder_);
  }
  ops::Params read() const { return read_hf_params(folder_, read_config()); }

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
    const Json saved = config_;
    config_[key] = Json::parse(value, "test");
    expect_refusal(words);
    config_ = saved;
  }

  fs::path folder_;
  Json config_ = Json::object();
  NamedTensors tensors_;
};

}  // namespace evenkeel::checkpoint
