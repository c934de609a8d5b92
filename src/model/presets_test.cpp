#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/config.h"
#include "model/layout.h"
#include "support/files.h"

namespace evenkeel::model {
namespace {

using ::testing::HasSubstr;

ModelConfig preset(const std::string& name) {
  return read_model_config(parse_toml("preset = \"" + name + "\"", "test", ""));
}

TEST(Presets, HaveTheirPublishedParameterCounts) {
  struct Row {
    const char* name;
    int64_t total, active;
  };
  const std::vector<Row> rows = {
      {"paper/dense-570m", 570475520, 570475520},  // 2503.05029 at the spec's shape
      {"paper/switch-2b", 2023998464, 570672128},
      {"paper/granular-2b", 2024563712, 571237376},
      {"olmoe-1b-7b", 6919161856, 1282017280},         // 2409.02060: 6.9B, 1.3B
      {"mixtral-8x7b", 46702792704, 12879925248},      // 2401.04088: 47B, 13B
      {"deepseek-moe-16b", 16375728128, 2828650496},   // 2401.06066: 16.4B, 2.8B
      {"deepseek-v2-lite", 15706484224, 2661150208},   // 2405.04434: 15.7B, 2.4B without embeddings
      {"deepseek-v3", 671026404352, 37552282624},      // 2412.19437: 671B, 37B; without the biases of its routers
      {"qwen1.5-moe-a2.7b", 14315784192, 2689173504},  // its release: 14.3B, 2.7B
      {"qwen3-30b-a3b", 30532122624, 3353032704},      // 2505.09388: 30.5B, 3.3B
      {"gpt-oss-20b", 20914757184, 4187440704},        // 2508.10925: 20.91B, 3.61B without the embedding
      // 2402.01739 counts 650M, 8.7B, 34B: three matrices a network, where the released files have four
      {"openmoe-base", 799663104, 535421952},
      {"openmoe-8b", 11855046656, 3801982976},
      {"openmoe-34b", 46270737408, 10031950848},
      // 2·4096·128 + 3·(4·128² + 3·128·384) + 7·128; + 3·8·128 + 3·7·3·128·384; + 3·31·128 + 3·28·3·128·96
      {"tiny/dense", 1688448, 1688448},
      {"tiny/switch", 4788096, 1691520},
      {"tiny/granular", 4796928, 1700352},
  };
  std::vector<std::string> names;
  for (const auto& row : rows) {
    const auto counts = count_parameters(preset(row.name));
    EXPECT_EQ(counts.total, row.total) << row.name;
    EXPECT_EQ(counts.active, row.active) << row.name;
    names.emplace_back(row.name);
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, preset_names());  // none without a row
}

TEST(Presets, TinyModelsAreFlopMatched) {
  const auto without_router = [](const ModelConfig& config) {
    double flops = forward_flops_per_token(config, 256);
    for (const auto& spec : parameter_table(config))
      if (spec.role == Role::router) flops -= 2.0 * static_cast<double>(spec.n_elements());
    return flops;
  };
  const double dense = without_router(preset("tiny/dense"));
  for (const auto* name : {"tiny/switch", "tiny/granular"})
    EXPECT_NEAR(without_router(preset(name)) / dense, 1.0, 0.01) << name;
}

TEST(Presets, KeysStandAboveThePreset) {
  const auto config = read_model_config(
      parse_toml("preset = \"tiny/switch\"\nn_layers = 5\ntop_k = 2\n[router]\nkind = \"sinkhorn\"", "test", ""));
  EXPECT_EQ(config.n_layers, 5);
  EXPECT_EQ(config.top_k, 2);
  EXPECT_EQ(config.n_experts, 8);
  EXPECT_EQ(config.router.find("score"), nullptr);  // another kind replaces the preset's table
  const auto same_kind =
      read_model_config(parse_toml("preset = \"tiny/switch\"\n[router]\nrenormalize = true", "test", ""));
  EXPECT_NE(same_kind.router.find("score"), nullptr);  // and a key alone is merged into it
  const auto other_loss = read_model_config(
      parse_toml("preset = \"tiny/switch\"\n[balance]\nloss = \"hf\"\ncoefficient = 0.5", "test", ""));
  EXPECT_EQ(other_loss.balance.z_coefficient, 0.0);
  EXPECT_EQ(other_loss.balance.terms.at(0).loss.text(), "hf");
}

TEST(Presets, UnknownNameSuggestsTheNearest) {
  const auto message = testing::message_of<ConfigError>([] { preset("tiny/swich"); });
  EXPECT_THAT(message, HasSubstr("test:1:1"));
  EXPECT_THAT(message, HasSubstr("did you mean 'tiny/switch'"));
  EXPECT_THAT(message, HasSubstr("paper/granular-2b"));
}

}  // namespace
}  // namespace evenkeel::model
