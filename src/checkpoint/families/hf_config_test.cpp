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
  double theta() const { return read_config().config.rope_theta; }
};

TEST_F(HfConfigKeys, FindsTheRotaryBaseOfBothVersions) {
  EXPECT_EQ(theta(), 500000.0);  // rope_parameters
  set("rope_parameters", nullptr);
  EXPECT_EQ(theta(), 10000.0);
  set("rope_theta", 2000);
  set("rope_scaling", nullptr);
  EXPECT_EQ(theta(), 2000.0);
  set("rope_scaling", Json::parse(R"({"type": "default"})", "test"));
  EXPECT_EQ(theta(), 2000.0);
}

TEST_F(HfConfigKeys, RefusesScaledPartialAndContradictoryRotation) {
  set("rope_theta", 10000.0);
  expect_refusal({"rope_parameters.rope_theta", "5e+05", "10000"});
  make_llama();
  expect_refused_setting("rope_parameters", R"({"rope_theta":10000.0,"rope_type":"yarn","factor":4.0})",
                         {"rope_parameters.rope_type", "\"yarn\""});
  expect_refused_setting("rope_parameters", R"({"full_attention":{"rope_theta":10000.0}})",
                         {"rope_parameters.full_attention"});
  expect_refused_setting("rope_parameters", R"({"rope_theta":10000.0,"partial_rotary_factor":0.5})",
                         {"rope_parameters.partial_rotary_factor", "0.5"});
  expect_refused_setting("rope_scaling", R"({"type":"linear","factor":2.0})", {"rope_scaling.type", "\"linear\""});
  expect_refused_setting("rope_scaling", R"(2.0)");
  expect_refused_setting("partial_rotary_factor", "0.5");
  set("rope_parameters", nullptr);
  expect_refused_setting("rope_theta", "-1.0");
  expect_refused_setting("rope_theta", R"("big")");
}

TEST_F(HfConfigKeys, RefusesSettingsByNameAndValue) {
  expect_refused_setting("hidden_act", R"("relu")");
  expect_refused_setting("hidden_act", R"("gelu_new")");
  expect_refused_setting("attention_dropout", "0.1");
  expect_refused_setting("sliding_window", "128");
  expect_refused_setting("quantization_config", R"({"quant_method":"fp8"})");
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
  text.insert(1, "\"time_step_limit\": [0.0, Infinity], ");
  std::ofstream(folder_ / "config.json") << text;
  EXPECT_EQ(read_hf_config(folder_).config.vocab_size, config_.at("vocab_size").as_int());
  text.replace(text.find("Infinity"), 8, "0.0").insert(1, "\"rms_norm_eps\": NaN, ");
  std::ofstream(folder_ / "config.json") << text;
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { read_hf_config(folder_); }),
              ::testing::HasSubstr("rms_norm_eps: got \"NaN\"; need a number"));
}

TEST_F(HfConfigKeys, KnowsTheExactGelu) {
  set("hidden_act", "gelu");
  EXPECT_EQ(read_config().config.activation, ops::Activation::geglu);
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
