#include "cli/model_summary.h"

#include <gtest/gtest.h>

namespace evenkeel::cli {
namespace {

model::ModelConfig preset(const std::string& name) {
  return model::read_model_config(parse_toml("preset = \"" + name + "\"", "test", ""));
}

TEST(ModelSummary, SaysWhatAModelIs) {
  EXPECT_EQ(architecture_lines(preset("mixtral-8x7b")),
            (std::vector<std::string>{"mixture of experts: 32 layers of width 4096, vocabulary 32000",
                                      "attention: grouped, 32 heads of 128, 8 of keys and values",
                                      "rotation: 128 features of a head, theta 1000000",
                                      "experts: 8 of width 14336, 2 a token, in 32 of 32 layers",
                                      "router: top_k: renormalize true; balance losses: hf 0.02"}));
  EXPECT_EQ(
      architecture_lines(preset("deepseek-v3")),
      (std::vector<std::string>{
          "mixture of experts: 61 layers of width 7168, vocabulary 129280",
          "attention: latent, 128 heads of 192, latent vectors of 512 and, of queries, 1536, 64 features rotated, "
          "values of 128",
          "rotation: 64 features of a head, theta 10000, interleaved pairs, yarn by 40",
          "experts: 256 of width 2048, 8 a token, in 58 of 61 layers; shared ones of width 2048; dense layers of "
          "width 18432",
          "router: loss_free: renormalize true, scaling 2.5, n_groups 8, groups_per_token 4; balance losses: "
          "none"}));
  EXPECT_EQ(architecture_lines(preset("paper/dense-570m")).back(), "unusual: geglu");
  EXPECT_EQ(architecture_lines(preset("qwen1.5-moe-a2.7b")).back(), "unusual: a gate of the shared experts");
}

TEST(ModelSummary, CountsWhatAModelCosts) {
  checkpoint::ModelSource source;
  source.config = preset("olmoe-1b-7b");
  source.sequence_length = 2048;
  const Json costs = model_costs(source);
  EXPECT_EQ(costs.at("parameters").at("total"), Json(6919161856));
  EXPECT_EQ(costs.at("memory").at("weights_bf16_bytes").as_double(), 2.0 * 6919161856);
  EXPECT_EQ(costs.at("memory").at("training_bytes").as_double(), 16.0 * 6919161856);
  EXPECT_EQ(costs.at("memory").at("cache_bytes").as_double(), 4.0 * 2048 * 16 * 2 * 2048);  // keys and values
  EXPECT_EQ(costs.at("flops_per_token").at("training").as_double(),
            3 * costs.at("flops_per_token").at("forward").as_double());
  EXPECT_EQ(cost_lines(costs).size(), 3U);
}

}  // namespace
}  // namespace evenkeel::cli
