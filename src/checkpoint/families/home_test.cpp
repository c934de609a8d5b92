#include "checkpoint/families/home.h"

#include <gmock/gmock.h>

#include "support/files.h"

namespace evenkeel::checkpoint {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

model::ModelConfig config_of(const std::string& more) {
  return model::read_model_config(
      parse_toml("vocab_size = 11\nd_model = 16\nn_layers = 3\nn_heads = 4\nd_ff = 5\n" + more, "m.toml", ""));
}
const std::string kExperts = "n_experts = 4\ntop_k = 2\nd_expert = 6\n",
                  kOne = "n_experts = 4\ntop_k = 1\nd_expert = 6\n";
Home home_of(const std::string& more, const std::string& preferred = "") {
  return find_home(as_evaluated(config_of(more), "test"), preferred, 64, "test");
}
std::string refusal_of(const std::string& more) {
  return testing::message_of<CheckpointError>([&] { home_of(more); });
}

// The table of homes: what a class computes decides, not how a model was made.
TEST(Home, IsTheFirstClassThatComputesTheSame) {
  const std::vector<std::tuple<std::string, std::string, std::vector<std::string>>> rows = {
      {"", "llama", {}},
      {"rotary_fraction = 0.5", "llama", {"longrope"}},
      {"rope_pairs = \"interleaved\"\nffn_bias = true", "llama", {"halves"}},
      {"qk_norm = true\nnorm_placement = \"after\"", "olmo2", {}},
      {kExperts + "qk_norm = true", "olmoe", {}},
      {kExperts + "router = {renormalize = true}", "mixtral", {}},
      {kExperts + "router = {score = \"softmax_post\"}", "mixtral", {}},
      {kExperts, "qwen2_moe", {"no_shared"}},
      {kOne + "router = {renormalize = true}", "qwen2_moe", {"no_shared"}},
      {kOne + "router = {renormalize = true, renormalize_one = true}", "mixtral", {}},
      {kOne + "router = {score = \"softmax_post\", renormalize_one = true}", "mixtral", {}},
      {kExperts + "n_shared_experts = 1", "qwen2_moe", {"shared_gate"}},
      {kExperts + "n_shared_experts = 1\nrouter = {renormalize = true}", "granitemoeshared", {}},
      {kExperts + "n_shared_experts = 1\nrotary_fraction = 0.25\nactivation = \"geglu\"\nrouter = {renormalize = true}",
       "granitemoeshared",
       {"longrope"}},
      {kExperts + "qk_norm = \"per_head\"\nmoe_layers = [0, 2]", "qwen3_moe", {}},
      {kExperts + "logits_scaling = 2.0\nrouter = {score = \"softmax_post\"}", "granitemoe", {}},
      {kExperts + "qk_norm = true\nnorm_placement = \"after\"", "flex_olmo", {}},
      {kExperts + "router = {score = \"sigmoid\"}", "glm4_moe", {"zero_bias"}},
      {kExperts + "n_shared_experts = 2\nrotary_fraction = 0.5\nmoe_layers = [1, 2]\nrouter = {kind = \"loss_free\"}",
       "glm4_moe",
       {}},
      {"n_experts = 4\ntop_k = 1\nd_expert = 6\nrouter = {kind = \"sinkhorn\"}", "glm4_moe", {"zero_bias"}},
      {kExperts + "router = {kind = \"sinkhorn\"}", "qwen2_moe", {"no_shared"}},
      {kExperts + "head_dim = 12\nrope_pairs = \"interleaved\"\nn_shared_experts = 1\n"
                  "attention = {kind = \"latent\", kv_rank = 8, rope_dim = 4}",
       "deepseek_v2",
       {}},
      {kExperts + "head_dim = 12\nattention = {kind = \"latent\", kv_rank = 8, rope_dim = 4}\n"
                  "router = {kind = \"loss_free\"}",
       "deepseek_v3",
       {}},
  };
  for (const auto& [more, family, detours] : rows) {
    SCOPED_TRACE(more);
    const auto home = home_of(more);
    EXPECT_STREQ(home.family->model_type, family.c_str());
    EXPECT_EQ(home.detours, detours);
    EXPECT_EQ(home.config.at("model_type"), Json(family));
  }
}

TEST(Home, PrefersTheFamilyThatTheModelCameFrom) {
  EXPECT_STREQ(home_of(kExperts + "router = {renormalize = true}", "granitemoe").family->model_type, "granitemoe");
  EXPECT_STREQ(home_of(kExperts + "qk_norm = true", "mixtral").family->model_type, "olmoe");  // which cannot hold it
  EXPECT_STREQ(home_of(kExperts, "deepseek").family->model_type, "deepseek");  // remote code, where it lies there
}

TEST(Home, SaysWhereASoftmaxIsWrittenInOtherWords) {
  EXPECT_THAT(home_of(kExperts + "router = {score = \"softmax_post\"}").notices,
              ElementsAre(HasSubstr("softmax over the selected")));
  EXPECT_THAT(home_of(kExperts + "router = {renormalize = true}").notices, IsEmpty());
}

TEST(Home, NamesWhatNoClassHas) {
  EXPECT_THAT(refusal_of(kExperts + "router = {kind = \"expert_choice\"}"), HasSubstr("'expert_choice'"));
  EXPECT_THAT(refusal_of(kExperts + "router = {score = \"sqrtsoftplus\"}"),
              HasSubstr("model.router.score = \"sqrtsoftplus\""));
  EXPECT_THAT(refusal_of(kExperts + "router = {kind = \"sinkhorn\", at_eval = true}"),
              HasSubstr("model.router.at_eval"));
  EXPECT_THAT(refusal_of(kExperts + "router = {jitter = 0.1, jitter_at_eval = true}"),
              HasSubstr("model.router.jitter_at_eval"));
  EXPECT_THAT(refusal_of(kExperts + "capacity = {rule = \"switch\"}"), HasSubstr("model.capacity.rule = 'switch'"));
  EXPECT_THAT(refusal_of("attention = {sinks = true}"), HasSubstr("model.attention.sinks = true"));
  EXPECT_THAT(refusal_of(kExperts + "router = {norm_p = 2.0, renormalize = true}"), HasSubstr("model.router.norm_p"));
  EXPECT_THAT(refusal_of("embedding_multiplier = 3.0"), HasSubstr("model.embedding_multiplier = 3"));
}

TEST(Home, TakesEqualFunctionsForEqual) {
  const auto form = [](const std::string& more) { return runtime_form(as_evaluated(config_of(more), "")).dump(); };
  EXPECT_EQ(form(kExperts + "balance = {loss = \"hf\"}\ninit = \"normal\""), form(kExperts));
  EXPECT_EQ(form(kExperts + "moe_layers = \"every 1\""), form(kExperts + "moe_layers = [0, 1, 2]"));
  EXPECT_EQ(form(kExperts + "router = {score = \"softmax_post\"}"), form(kExperts + "router = {renormalize = true}"));
  EXPECT_EQ(form("attention = {scale = 0.5}"), form(""));  // 1 / sqrt(4)
  EXPECT_EQ(form("attention = {window = 4, window_layers = [0, 1, 2]}"), form("attention = {window = 4}"));
  EXPECT_NE(form("attention = {window = 4}"), form(""));
  EXPECT_NE(form(kExperts + "router = {kind = \"loss_free\"}"), form(kExperts + "router = {score = \"sigmoid\"}"));
}

}  // namespace
}  // namespace evenkeel::checkpoint
