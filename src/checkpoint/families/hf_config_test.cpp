#include "checkpoint/families/hf_config.h"

#include <gmock/gmock.h>

#include "checkpoint/families/test_folder.h"
#include "support/files.h"

namespace evenkeel::checkpoint {
namespace {

class HfConfigKeys : public HfFolderTest {
 protected:
  void SetUp() override {
    HfFolderTest::SetUp();
    make_llama();
  }
};

TEST_F(HfConfigKeys, RefusesSettingsByNameAndValue) {
  expect_refused_setting("hidden_act", R"("relu")");
  expect_refused_setting("attention_dropout", "1.5");
  expect_refused_setting("sliding_window", "128");
  expect_refused_setting("attn_logit_softcapping", "50.0");  // of another family
  expect_refused_setting("quantization_config", R"({"quant_method":"gptq"})");
  expect_refused_setting("quantization_config", R"({"quant_method":"fp8"})",
                         {"quantization_config: weight_block_size: got nothing", "[128,128]"});
  expect_refused_setting("dtype", R"("float8_e4m3fn")");
  expect_refused_setting("architectures", R"(["OpenMoeForCausalLM"])");
  expect_refused_setting("model_type", R"("gemma")");
}

TEST_F(HfConfigKeys, RefusesValuesOfTheWrongKind) {
  for (const char* key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}) {
    const Json saved = config_;
    for (const char* value : {"0", "-3", "\"8\"", "17000000", "null"}) {
      config_[key] = Json::parse(value, "test");
      expect_refusal({key, "need an integer 1..16777216"});
    }
    for (const char* value : {"1.5", "1e3", "8.0"}) {  // as it stands in the file: Json would write 1000 and 8
      config_[key] = "here";
      std::string text = config_.dump();
      text.replace(text.find("\"here\""), 6, value);
      std::ofstream(folder_ / "config.json") << text;
      EXPECT_THAT(testing::message_of<CheckpointError>([&] { read_hf_config(folder_); }),
                  ::testing::HasSubstr("need a whole number 1..16777216, written without a point or an exponent"));
    }
    config_ = saved;
  }
  expect_refused_setting("tie_word_embeddings", "1");
  expect_refused_setting("rms_norm_eps", "\"small\"");
  expect_refused_setting("hidden_act", "3");
  set("num_key_value_heads", 3);
  expect_refusal({"n_kv_heads = 3", "n_heads = 4"});
}

TEST_F(HfConfigKeys, FillsDefaults) {
  for (const char* key : {"num_key_value_heads", "head_dim", "hidden_act", "tie_word_embeddings"})
    set(key, nullptr);  // null as in transformers
  for (const char* key : {"rms_norm_eps", "max_position_embeddings"}) config_.erase(key);
  const auto model = read_config();
  EXPECT_EQ(model.config.n_kv_heads, 4);
  EXPECT_EQ(model.config.head_dim, 2);  // 8 / 4
  EXPECT_EQ(model.config.norm_eps, 1e-6);
  EXPECT_EQ(model.max_sequence_length, 2048);
}

TEST_F(HfConfigKeys, NamesANullWhereANumberIsNeeded) {
  for (const char* key :
       {"vocab_size", "hidden_size", "num_attention_heads", "rms_norm_eps", "max_position_embeddings", "rope_theta"}) {
    const Json saved = config_;
    config_[key] = Json();
    expect_refusal({key, "got null; need a"});
    config_ = saved;
  }
  expect_refused_setting("rope_parameters", R"({"rope_theta": null})", {"rope_parameters.rope_theta: got null"});
  config_.erase("vocab_size");
  expect_refusal({"vocab_size: got nothing"});
}

TEST_F(HfConfigKeys, TakesWhatPythonWrites) {
  set("hidden_act", "silu");
  write();
  std::string text = config_.dump();
  text.insert(1, "\"_limits\": [0.0, Infinity], ");
  std::ofstream(folder_ / "config.json") << text;
  EXPECT_EQ(read_hf_config(folder_).config.vocab_size, config_.at("vocab_size").as_int());
  text = config_.dump();
  text.replace(text.find("\"rms_norm_eps\""), 14, "\"_eps\"").insert(1, "\"rms_norm_eps\": NaN, ");
  std::ofstream(folder_ / "config.json") << text;
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { read_hf_config(folder_); }),
              ::testing::HasSubstr("rms_norm_eps: got \"NaN\"; need a number"));
}

TEST_F(HfConfigKeys, KnowsTheExactGeluAndItsTanhFormula) {
  set("hidden_act", "gelu");
  EXPECT_EQ(read_config().config.activation, ops::Activation::geglu);
  for (const char* name : {"gelu_pytorch_tanh", "gelu_new"}) {
    set("hidden_act", name);
    EXPECT_EQ(read_config().config.activation, ops::Activation::geglu_tanh) << name;
  }
}

TEST_F(HfConfigKeys, PassesOverWhatChangesNothing) {
  const Json harmless = Json::parse(
      R"({"initializer_range": 0.02, "use_cache": true, "bos_token_id": 1, "eos_token_id": [2, 3], "_name_or_path": "x",
           "transformers_version": "4.40.2", "id2label": {"0": "LABEL_0"}, "top_k": 50, "scale_emb": 0, "unheard_of": null,
           "some_list": [], "pretraining_tp": 4})",
      "test");
  for (const auto& [key, value] : harmless.as_object()) set(key, value);
  EXPECT_EQ(read_config().config.vocab_size, 11);
  EXPECT_TRUE(read_config().notices.empty());
  set("attention_dropout", 0.1);  // of training alone
  ASSERT_EQ(read_config().notices.size(), 1U);
  EXPECT_THAT(read_config().notices[0], ::testing::HasSubstr("attention_dropout: got 0.1"));
}

TEST_F(HfConfigKeys, RefusesAKeyThatStandsTwice) {
  write();
  std::string text = config_.dump();
  text.insert(text.size() - 1, ",\"hidden_size\":16");
  std::ofstream(folder_ / "config.json") << text;
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { read_hf_config(folder_); }),
              ::testing::HasSubstr("hidden_size: got it twice"));
}

TEST_F(HfConfigKeys, RefusesWhatIsNoObject) {
  config_ = Json::array();
  expect_refusal({"config.json", "got array", "need an object"});
  std::ofstream(folder_ / "config.json") << "{\"model_type\": ";
  EXPECT_THROW(HfConfig{folder_}, CheckpointError);
  fs::remove(folder_ / "config.json");
  EXPECT_THROW(HfConfig{folder_}, CheckpointError);
}

}  // namespace
}  // namespace evenkeel::checkpoint
