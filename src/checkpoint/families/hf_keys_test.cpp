#include "checkpoint/families/hf_keys.h"

#include <gtest/gtest.h>

#include "core/errors.h"

namespace evenkeel::checkpoint {
namespace {

Json written(HfForm form, void (*ask)(HfKeys& keys)) {
  Json out = Json::object();
  HfKeys keys(out, form);
  ask(keys);
  return out;
}
HfForm read(const std::string& text, void (*ask)(HfKeys& keys)) {
  HfForm form;
  form.attention["kind"] = "grouped";
  const HfConfig config(Json::parse(text, "test"), "test");
  HfKeys keys(config, form);
  ask(keys);
  return form;
}

TEST(HfKeys, ReadAndWriteWhatTheyAreAskedFor) {
  const auto ask = [](HfKeys& keys) {
    keys.size("a", keys.model().d_model);
    keys.count("b", keys.model().n_shared_experts, 7);
    keys.number("c", keys.form().router["scaling"], 2.5);
    keys.flag("d", keys.model().ffn_bias, true);
    keys.only("e", 3);
  };
  const auto form = read(R"({"a": 5, "b": 0, "e": 3.0})", ask);
  EXPECT_EQ(form.config.d_model, 5);
  EXPECT_EQ(form.config.n_shared_experts, 0);
  EXPECT_EQ(form.router.dump(), R"({"scaling":2.5})");
  EXPECT_TRUE(form.config.ffn_bias);
  EXPECT_EQ(written(form, ask).dump(), R"({"a":5,"b":0,"c":2.5,"d":true,"e":3})");
  EXPECT_THROW(read(R"({"a": 5, "e": 4})", ask), CheckpointError);
}

TEST(HfKeys, ReadTheNumberOfExpertsUnderAnyOfItsNames) {
  const auto ask = [](HfKeys& keys) { expert_keys(keys, "num_experts", "width", 9); };
  for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"}) {
    const auto form = read("{\"" + std::string(key) + R"(": 6, "num_experts_per_tok": 2})", ask);
    EXPECT_EQ(form.config.n_experts, 6) << key;
    EXPECT_EQ(form.config.d_expert, 9);
    EXPECT_EQ(written(form, ask).dump(), R"({"num_experts":6,"num_experts_per_tok":2,"width":9})");
  }
}

TEST(HfKeys, ReadDenseLayersAsAListOfThoseWithExperts) {
  const auto ask = [](HfKeys& keys) {
    keys.size("layers", keys.model().n_layers);
    dense_listed_layers(keys);
  };
  auto form = read(R"({"layers": 6, "intermediate_size": 4, "decoder_sparse_step": 2, "mlp_only_layers": [3]})", ask);
  form.config.n_experts = 2;
  EXPECT_EQ(layers_with_experts(form.config), (std::vector<int64_t>{1, 5}));
  EXPECT_EQ(written(form, ask).dump(),
            R"({"layers":6,"decoder_sparse_step":1,"mlp_only_layers":[0,2,3,4],"intermediate_size":4})");
}

TEST(HfKeys, HaveAFormWithEveryOption) {
  model::ModelConfig config;
  config.vocab_size = 5;
  config.d_model = 8;
  config.n_layers = 1;
  config.n_heads = 2;
  config.d_ff = 3;
  model::fill_defaults(config);
  const auto form = form_of(config, 77);
  EXPECT_EQ(form.max_sequence_length, 77);
  EXPECT_EQ(form.attention.at("window"), Json(0));
  EXPECT_EQ(form.router.size(), 0U);
  EXPECT_EQ(model::model_config_json(config_of(form, "test")).dump(), model::model_config_json(config).dump());
}

}  // namespace
}  // namespace evenkeel::checkpoint
