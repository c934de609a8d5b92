#include "model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/files.h"

namespace evenkeel::model {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const char* const kDense = "vocab_size = 16\nd_model = 8\nn_layers = 4\nn_heads = 2\nd_ff = 12\n";
const char* const kMoe =
    "vocab_size = 16\nd_model = 8\nn_layers = 4\nn_heads = 2\nn_experts = 4\ntop_k = 2\nd_expert = 6\n";

ModelConfig read(const std::string& toml) { return read_model_config(parse_toml(toml, "m.toml", "")); }
std::string message_for(const std::string& toml) {
  return testing::message_of<ConfigError>([&] { read(toml); });
}

TEST(ModelConfig, FillsDefaults) {
  const auto config = read(kDense);
  EXPECT_EQ(config.n_kv_heads, 2);
  EXPECT_EQ(config.head_dim, 4);
  EXPECT_EQ(config.rotation(config.head_dim).dims, 4);
  EXPECT_FALSE(config.is_moe());
  EXPECT_FALSE(config.has_experts(0));
}

TEST(ModelConfig, ABalanceLossThatNothingSaysIsWarnedOf) {
  const auto warning = [](const std::string& toml) {
    const auto node = parse_toml(toml, "m.toml", "");
    return kept_balance_warning(node, read_model_config(node));
  };
  const std::string preset = "preset = \"tiny/granular\"\n";
  EXPECT_EQ(warning(preset + "router = {kind = \"sinkhorn\"}\n"),
            "m.toml:2:11: got model.router.kind = 'sinkhorn', which balances by itself, without model.balance beside "
            "it, so it keeps the balance loss switch 0.01, the z-loss 0.001 of the preset or base; "
            "need model.balance = {loss = []} there to train without, or the losses stated there to keep them");
  for (const std::string said :
       {"router = {kind = \"sinkhorn\"}\nbalance = {loss = []}\n", "router = {kind = \"top_k\"}\n", "",
        "router = {kind = \"sinkhorn\"}\nbalance = {loss = \"switch\"}\n", "n_experts = 0\n"})
    EXPECT_EQ(warning(preset + said), "") << said;
  EXPECT_EQ(warning(std::string(kMoe) + "router = {kind = \"sinkhorn\"}\n"), "");  // there is none to keep
}

TEST(ModelConfig, RotaryDimsAreEven) {
  ModelConfig config;
  config.head_dim = 64;
  config.rotary_fraction = 0.25;
  EXPECT_EQ(config.rotation(config.head_dim).dims, 16);
  config.head_dim = 6;
  config.rotary_fraction = 0.5;
  EXPECT_EQ(config.rotation(config.head_dim).dims, 2);
  config.rotary_fraction = 0;
  EXPECT_EQ(config.rotation(config.head_dim).dims, 0);
}

TEST(LayerSet, AreAllEveryNthOrAList) {
  const auto layers_of = [](const std::string& rule) {
    const auto config = read(std::string(kMoe) + "d_ff = 12\nmoe_layers = " + rule);
    std::vector<int64_t> out;
    for (int64_t layer = 0; layer < 4; ++layer) {
      EXPECT_EQ(config.moe_layers_below(layer), out.size()) << rule;
      if (config.has_experts(layer)) out.push_back(layer);
    }
    EXPECT_EQ(config.moe_layers_below(4), out.size()) << rule;
    EXPECT_TRUE(config.is_moe());
    return out;
  };
  EXPECT_EQ(layers_of("\"all\""), (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(layers_of("\"every 2\""), (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(layers_of("[0, 3]"), (std::vector<int64_t>{0, 3}));
  EXPECT_EQ(layers_of("[3, 1, 3]"), (std::vector<int64_t>{1, 3}));
  EXPECT_THAT(message_for(std::string(kMoe) + "moe_layers = \"every 0\""), HasSubstr("\"every N\" with N from 1"));
  EXPECT_THAT(message_for(std::string(kMoe) + "moe_layers = \"some\""), HasSubstr("\"every N\" with N from 1"));
  EXPECT_THAT(message_for(std::string(kMoe) + "d_ff = 1\nmoe_layers = \"every 5\""),
              HasSubstr("a rule that some of the 4 layers fulfil"));
  EXPECT_THAT(message_for(std::string(kMoe) + "d_ff = 1\nmoe_layers = [4]"), HasSubstr("layers 0..3"));
  EXPECT_THAT(message_for(std::string(kMoe) + "moe_layers = [0]"), HasSubstr("the model has dense layers"));
}

TEST(QkNorm, IsABooleanOrPerHead) {
  EXPECT_EQ(read(kDense).qk_norm, QkNorm::none);
  EXPECT_EQ(read(std::string(kDense) + "qk_norm = true").qk_norm, QkNorm::whole);
  EXPECT_EQ(read(std::string(kDense) + "qk_norm = \"per_head\"").qk_norm, QkNorm::per_head);
  EXPECT_THAT(message_for(std::string(kDense) + "qk_norm = 1"), HasSubstr("need false, true or \"per_head\""));
}

TEST(ModelConfig, RefusesValuesOutsideTheirRange) {
  const auto with = [](const std::string& base, const std::string& key, const std::string& value) {
    ConfigNode node = parse_toml(base, "m.toml", "");
    apply_override(node, key + "=" + value);
    return testing::message_of<ConfigError>([&] { read_model_config(node); });
  };
  for (const auto* key : {"vocab_size", "d_model", "n_layers", "n_heads"}) {
    const auto message = with(kDense, key, "0");
    EXPECT_THAT(message, HasSubstr(std::string("got model.") + key + " = 0; need"));
    EXPECT_THAT(with(kDense, key, "-3"), HasSubstr("need"));
    EXPECT_THAT(with(kDense, key, "1e12"), HasSubstr("need"));
  }
  EXPECT_THAT(with(kDense, "n_kv_heads", "3"), HasSubstr("a divisor of n_heads = 2"));
  EXPECT_THAT(with(kDense, "d_ff", "0"), HasSubstr("the model has dense layers"));
  EXPECT_THAT(with(kDense, "n_heads", "3"), HasSubstr("head_dim"));  // 8 / 3 is no whole width
  EXPECT_THAT(with(kDense, "rope_theta", "0.0"), HasSubstr("more than 0"));
  EXPECT_THAT(with(kDense, "rotary_fraction", "1.5"), HasSubstr("need 0..1"));
  EXPECT_THAT(with(kDense, "norm_eps", "0.0"), HasSubstr("more than 0"));
  EXPECT_THAT(with(kDense, "activation", "relu"),
              HasSubstr("got model.activation = 'relu'; need one of: swiglu, geglu"));
  EXPECT_THAT(with(kDense, "init", "zeros"),
              HasSubstr("need one of: scaled_normal, normal, truncated_normal, small_wang"));
  EXPECT_THAT(with(kMoe, "top_k", "5"), HasSubstr("got model.top_k = 5; need 1..4 (model.n_experts)"));
  EXPECT_THAT(with(kMoe, "top_k", "0"), HasSubstr("need 1..4"));
  EXPECT_THAT(with(kMoe, "d_expert", "0"), HasSubstr("got model.d_expert = 0; need 1..2147483647 (it has no default)"));
  EXPECT_THAT(with(kMoe, "n_shared_experts", "-1"), HasSubstr("need 0..65536"));
  EXPECT_THAT(with(kMoe, "n_experts", "70000"), HasSubstr("0..65536"));
  EXPECT_THAT(with(kMoe, "router.kind", "magic"), HasSubstr("magic"));
  EXPECT_THAT(with(kMoe, "activation_alpha", "1.5"), HasSubstr("activation = \"swiglu_clamped\" beside it"));
  EXPECT_THAT(with(kMoe, "activation_limit", "0.0"), HasSubstr("more than 0"));
  EXPECT_THAT(with(kMoe, "d_extra", "-1"), HasSubstr("need 0..2147483647"));
  EXPECT_THAT(with(kDense, "d_extra", "4"), HasSubstr("the model has no experts"));
  EXPECT_THAT(with(kDense, "expert_bias", "true"), HasSubstr("the model has no experts"));
  EXPECT_THAT(with(kDense, "router_bias", "true"), HasSubstr("the model has no experts"));
  EXPECT_THAT(with(kMoe, "d_modle", "3"), HasSubstr("did you mean 'd_model'"));
}

// [model.rope] and widths in [model.attention] are other places for keys of [model].
TEST(ModelConfig, TakesKeysFromTheirOtherPlaces) {
  const std::string flat = "vocab_size = 16\nd_model = 8\nn_layers = 4\nd_ff = 12\n";
  const auto one = read(flat +
                        "n_heads = 4\nn_kv_heads = 2\nhead_dim = 6\nqk_norm = true\nrope_theta = 500.0\n"
                        "rotary_fraction = 0.5\nrope_pairs = \"interleaved\"\n"
                        "rope_scaling = {kind = \"linear\", factor = 2.0}");
  const auto other = read(flat +
                          "[attention]\nkind = \"grouped\"\nn_heads = 4\nn_kv_heads = 2\nhead_dim = 6\n"
                          "qk_norm = true\n[rope]\ntheta = 500.0\nfraction = 0.5\n"
                          "pairs = \"interleaved\"\nscaling = {kind = \"linear\", factor = 2.0}");
  EXPECT_EQ(model_config_json(one), model_config_json(other));
  EXPECT_EQ(one.rotation(6).dims, 2);
  EXPECT_EQ(one.rotation(6).pairs, ops::RotaryPairs::interleaved);
  EXPECT_EQ(one.rotation(6).scaling, ops::RotaryScaling(ops::LinearScaling{2}));
  EXPECT_EQ(model_config_json(model_config_from_json(model_config_json(one), "json")), model_config_json(one));
  EXPECT_THAT(message_for(std::string(kDense) + "attention = {n_heads = 2}"),
              AllOf(HasSubstr("m.toml:6"), HasSubstr("got model.attention.n_heads beside model.n_heads")));
  EXPECT_THAT(message_for(std::string(kDense) + "rope_theta = 1.0\nrope = {theta = 2.0}"),
              HasSubstr("got model.rope.theta beside model.rope_theta"));
  EXPECT_THAT(message_for(std::string(kDense) + "rope = {tetha = 2.0}"), HasSubstr("did you mean 'theta'"));
  EXPECT_THAT(message_for(std::string(kDense) + "rope = {theta = -1.0}"),
              HasSubstr("m.toml:6:9: got model.rope_theta = -1; need more than 0"));
  EXPECT_THAT(message_for(std::string(kDense) + "rope = 2.0"), HasSubstr("a table such as {theta = 1e6}"));
  EXPECT_THAT(message_for(std::string(kDense) + "rope = {scaling = {kind = \"longrope\", original_length = 8, "
                                                "short_factor = [1.0], long_factor = [1.0]}}"),
              HasSubstr("short_factor = a list of 1; need 2 numbers"));
}

TEST(ModelConfig, AScalingReplacesThePresetsWhole) {
  const auto merged = with_preset(parse_toml("preset = \"tiny/granular\"\nrope = {scaling = {kind = \"linear\", factor "
                                             "= 2.0}}",
                                             "m.toml", ""),
                                  PresetTables::taken);
  ConfigNode base = merged;
  const auto change = parse_toml("rope_scaling = {kind = \"llama3\", factor = 8.0, original_length = 64}", "c", "");
  drop_replaced(base, change, Over::recipe);
  EXPECT_EQ(base.find("rope_scaling"), nullptr);
  merge_config(base, change);
  EXPECT_TRUE(std::holds_alternative<ops::Llama3Scaling>(read_model_config(base).rope_scaling.value));
}

TEST(ModelConfig, WidthsThatOverflowAreRefusedBeforeTheyAreMultiplied) {
  const std::string largest = "2147483647";
  EXPECT_THAT(message_for("vocab_size = 16\nd_model = 8\nn_layers = 1\nd_ff = 12\nn_heads = " + largest +
                          "\nhead_dim = " + largest),
              HasSubstr("a width of all heads together of at most 2147483647"));
  EXPECT_THAT(message_for(std::string(kMoe) + "ffn_bias = true"), HasSubstr("the model has no dense layers"));
}

TEST(ModelConfig, SharedExpertsHaveAWidthTogether) {
  EXPECT_EQ(read(std::string(kMoe) + "n_shared_experts = 2").shared_width(), 12);
  EXPECT_EQ(read(std::string(kMoe) + "n_shared_experts = 1\nd_shared = 7\nshared_gate = true").shared_width(), 7);
  EXPECT_THAT(message_for(std::string(kMoe) + "d_shared = 7"), HasSubstr("the model has no shared experts"));
  EXPECT_THAT(message_for(std::string(kMoe) + "shared_gate = true"), HasSubstr("the model has no shared experts"));
  EXPECT_THAT(message_for(std::string(kDense) + "d_shared = 7"), HasSubstr("the model has no experts"));
  for (const auto* key : {"embedding_multiplier", "residual_multiplier", "logits_scaling"})
    EXPECT_THAT(message_for(std::string(kDense) + key + " = 0.0"), HasSubstr("need more than 0"));
  EXPECT_THAT(message_for(std::string(kDense) + "norm_placement = \"between\""), HasSubstr("one of: before, after"));
}

TEST(ModelConfig, RefusesWhatItsRouterCannotDo) {
  for (const std::string kind : {"base", "hash"}) {
    EXPECT_THAT(message_for(kMoe + ("router = {kind = \"" + kind + "\"}")),
                HasSubstr("got model.top_k = 2; need 1: the router '" + kind + "' chooses no more experts a token"));
    ConfigNode one = parse_toml(kMoe + ("router = {kind = \"" + kind + "\"}"), "m.toml", "");
    apply_override(one, "top_k=1");
    EXPECT_NO_THROW(read_model_config(one));
  }
  for (const std::string kind : {"random", "uniform"})
    for (const auto& [balance, got] : std::map<std::string, std::string>{
             {"{loss = \"switch\"}", "got model.balance.loss = switch"},
             {"{loss = [], z_coefficient = 0.1}", "got model.balance.z_coefficient = 0.1"}})
      EXPECT_THAT(message_for(kMoe + ("router = {kind = \"" + kind + "\"}\nbalance = " + balance)),
                  HasSubstr(got + "; need no balance and no z-loss ([model.balance] with loss = []): the router '" +
                            kind + "' has no logits"));
  EXPECT_NO_THROW(read(kMoe + std::string("router = {kind = \"random\"}\nbalance = {loss = []}")));
}

TEST(ModelConfig, RefusesRouterOptionsThatTheCapacityTakesOut) {
  const auto with = [](const std::string& router, const std::string& capacity, const std::string& base = kMoe) {
    return base + "router = {" + router + "}\ncapacity = {" + capacity + "}";
  };
  for (const std::string rule :
       {"rule = \"tutel\"", "rule = \"deepspeed-rts\"", "rule = \"deepspeed-top2\"",
        "rule = \"switch\", renormalize = \"before\"", "rule = \"megablocks\", renormalize = \"after\""}) {
    EXPECT_THAT(message_for(with("scaling = 2.5", rule)),
                HasSubstr("m.toml:8:11: got model.router.scaling = 2.5; need 1, or model.capacity.renormalize = false"))
        << rule;
    EXPECT_THAT(message_for(with("renormalize = true, norm_p = 2", rule)),
                HasSubstr("m.toml:8:31: got model.router.norm_p = 2"))
        << rule;
    EXPECT_NO_THROW(read(with("renormalize = true", rule))) << rule;  // both say that the weights sum to 1
    ConfigNode one = parse_toml(with("scaling = 2.5", rule), "m.toml", "");
    apply_override(one, "top_k=1");  // nothing is divided
    EXPECT_NO_THROW(read_model_config(one)) << rule;
  }
  EXPECT_NO_THROW(read(with("scaling = 2.5, renormalize = true, norm_p = 2", "rule = \"switch\"")));
  EXPECT_NO_THROW(read(with("scaling = 2.5", "rule = \"tutel\", renormalize = false")));
}

TEST(ModelConfig, RefusesALoadAfterDropsWithoutDrops) {
  const std::string router = kMoe + std::string("router = {kind = \"loss_free\", counts = \"after_drops\"}\n");
  EXPECT_THAT(message_for(router),
              HasSubstr("m.toml:8:31: got model.router.counts = \"after_drops\"; need a [model.capacity] that drops"));
  EXPECT_NO_THROW(read(router + "capacity = {rule = \"switch\"}"));
}

TEST(ModelConfig, KnowsTheOptionThatABalancingStateWasMadeFor) {
  const auto with = [](const std::string& router) {
    ConfigNode node = parse_toml(kMoe + ("router = {" + router + "}"), "m.toml", "");
    apply_override(node, "top_k=1");
    return read_model_config(node);
  };
  const auto message_of = [&](const std::string& router, const std::string& source) {
    return testing::message_of<ConfigError>([&] { check_router_state(with(router), with(source), "runs/a"); });
  };
  EXPECT_THAT(message_of("kind = \"hash\", by = \"frequency\"", "kind = \"hash\""),
              HasSubstr("m.toml:8:26: got model.router.by = \"frequency\"; need \"ids\", which the router's state in "
                        "runs/a was made for"));
  EXPECT_THAT(message_of("kind = \"hash\"", "kind = \"hash\", by = \"frequency\""),
              HasSubstr("got model.router.by = \"ids\"; need \"frequency\""));
  EXPECT_THAT(message_of("kind = \"loss_free\", score = \"softmax_pre\"", "kind = \"loss_free\""),
              HasSubstr("got model.router.score = \"softmax_pre\"; need \"sigmoid\""));
  EXPECT_NO_THROW(check_router_state(with("kind = \"loss_free\", rate = 0.5"), with("kind = \"loss_free\""), "runs/a"));
  EXPECT_NO_THROW(check_router_state(with("kind = \"hash\""), with("kind = \"loss_free\""), "runs/a"));
  EXPECT_NO_THROW(check_router_state(with("kind = \"quantile\", score = \"sigmoid\""), with("kind = \"quantile\""),
                                     "runs/a"));  // beta is in units of the logits
  EXPECT_NO_THROW(check_router_state(read(kDense), with("kind = \"hash\""), "runs/a"));
}

TEST(ModelConfig, RefusesABalanceWhereItStands) {
  EXPECT_THAT(message_for(kMoe + std::string("router = {kind = \"random\"}\nbalance = {loss = \"switch\"}")),
              HasSubstr("m.toml:9:12: got model.balance.loss = switch"));
  const std::string kept = "balance = {loss = \"switch\", counts = \"kept\"}";
  EXPECT_THAT(message_for(kMoe + ("norm_eps = 1e-5\n" + kept)),
              HasSubstr("m.toml:9:29: got model.balance.counts = kept; need a [model.capacity] that drops"));
  EXPECT_NO_THROW(read(kMoe + (kept + "\ncapacity = {rule = \"switch\"}")));
}

// What contradicts a kind of router that stands on the command line is a fault of that option.
TEST(ModelConfig, NamesTheOptionThatAFaultCameWith) {
  const auto message_with = [](const std::string& toml, const std::string& assignment) {
    ConfigNode root = parse_toml("[model]\n" + (kMoe + toml), "m.toml", "");
    apply_override(root, assignment);
    return testing::message_of<ConfigError>([&] { read_model_config(*root.find("model")); });
  };
  const std::string balance = "balance = {loss = \"switch\"}";
  EXPECT_THAT(message_with(balance, "model.router.kind=random"),
              HasSubstr("--set model.router.kind: got model.balance.loss = switch; need no balance"));
  EXPECT_THAT(message_with("", "model.router.kind=hash"),
              HasSubstr("--set model.router.kind: got model.top_k = 2; need 1: the router 'hash'"));
  EXPECT_THAT(message_with("capacity = {rule = \"switch\"}", "model.router.kind=expert_choice"),
              HasSubstr("--set model.router.kind: got model.capacity.rule = 'switch' with a router"));
  EXPECT_THAT(message_with("router = {kind = \"random\"}", "model.balance.loss=switch"),
              HasSubstr("--set model.balance.loss: got switch; need no balance"));
  EXPECT_THAT(message_with(balance, "model.balance.coefficient=-1"),
              HasSubstr("--set model.balance.coefficient: got -1; need at least 0"));
  EXPECT_THAT(message_with(balance, "model.balance.z_coefficient=-1"),
              HasSubstr("--set model.balance.z_coefficient: got -1; need at least 0"));
  EXPECT_THAT(message_with(balance, "model.balance.group_size=7"),
              HasSubstr("--set model.balance.group_size: got 7; need 0, since 'switch' has no groups"));
  EXPECT_THAT(message_with("", "model.balance={loss = \"switch\", counts = \"first\"}"),
              HasSubstr("--set model.balance: got model.balance.counts = 'first'; need one of"));
  EXPECT_THAT(
      message_with("router = {kind = \"top_k\", score = \"sigmoid\"}", "model.router.kind=random"),
      HasSubstr("--set model.router.kind: got 'random' beside model.router.score (m.toml:9:27), which it does not "
                "know"));
}

TEST(ModelConfig, ADenseModelRefusesKeysOfExperts) {
  for (const auto* line : {"top_k = 1", "n_shared_experts = 1", "d_expert = 4", "router = {kind = \"top_k\"}",
                           "balance = {loss = \"switch\"}", "capacity = {rule = \"switch\"}"})
    EXPECT_THAT(message_for(std::string(kDense) + line), HasSubstr("the model has no experts")) << line;
}

TEST(ModelConfig, CapacityIsDroplessUnlessARuleIsGiven) {
  EXPECT_TRUE(read(kMoe).capacity.is_dropless());
  EXPECT_EQ(model_config_json(read(kMoe)).at("capacity").dump(), R"({"rule":"none"})");
  const auto config = read(std::string(kMoe) + "capacity = {rule = \"switch\", factor_eval = 3}");
  EXPECT_EQ(config.capacity.rule, "switch");
  EXPECT_EQ(config.capacity.factor_train, 1.25);
  EXPECT_EQ(config.capacity.factor_eval, 3.0);
  EXPECT_TRUE(read(std::string(kDense) + "capacity = {rule = \"none\"}").capacity.is_dropless());
  EXPECT_THAT(message_for(std::string(kMoe) + "capacity = {factor_train = 1.0}"),
              HasSubstr("m.toml:8:1: got model.capacity without a rule"));
  EXPECT_THAT(message_for(std::string(kMoe) + "capacity = 1.25"), HasSubstr("model.capacity"));
  EXPECT_THAT(message_for(std::string(kMoe) + "capacity = {rule = \"megatron-probs\", pad = true, factor_train = 4.0}"),
              HasSubstr("need at most 2"));
}

TEST(ModelConfig, ACapacityRuleReplacesThePresetsAndKeysAloneChangeIt) {
  ConfigNode base = parse_toml("preset = \"tiny/switch\"\ncapacity = {rule = \"switch\", minimum = 9}", "m.toml", "");
  EXPECT_EQ(read_model_config(base).capacity.minimum, 9);
  apply_override(base, "capacity.factor_train=2.0");
  EXPECT_EQ(read_model_config(base).capacity.factor_train, 2.0);
  EXPECT_EQ(read_model_config(base).capacity.minimum, 9);
  EXPECT_TRUE(read("preset = \"tiny/switch\"\nn_experts = 0\ncapacity = {rule = \"switch\"}")
                  .capacity.is_dropless());  // the dense twin
}

TEST(ModelConfig, ReadsWhatItWrites) {
  for (const std::string& toml :
       {std::string(kDense), std::string(kMoe),
        std::string(kMoe) + "d_ff = 12\nqk_norm = \"per_head\"\nmoe_layers = [1]\n[router]\nkind = \"sinkhorn\"\n"
                            "[balance]\nloss = [{loss = \"hf\", coefficient = 0.25}]\nz_coefficient = 0.5\n"
                            "[capacity]\nrule = \"tutel\"\nfactor_train = -1.5\ngroup_size = 64"}) {
    const Json json = model_config_json(read(toml));
    EXPECT_EQ(model_config_json(model_config_from_json(Json::parse(json.dump(), "again"), "again")), json);
  }
  EXPECT_EQ(model_config_json(read(kMoe)).at("router").at("score").as_string(),
            "softmax_pre");  // the router's defaults too
  EXPECT_THROW(model_config_from_json(Json::parse("[]", "x"), "x"), ConfigError);
}

}  // namespace
}  // namespace evenkeel::model
