#include "moe/capacity_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/files.h"

namespace evenkeel::moe {
namespace {

using ::testing::HasSubstr;

CapacityConfig read(const std::string& toml) {
  CapacityConfig out;
  read_value(parse_toml(toml, "c.toml", ""), "model.capacity", out);
  return out;
}
std::string message_for(const std::string& toml) {
  return testing::message_of<ConfigError>([&] { read(toml); });
}

TEST(CapacityConfig, IsDroplessWithoutATableOrWithRuleNone) {
  EXPECT_TRUE(CapacityConfig{}.is_dropless());
  EXPECT_TRUE(read("").is_dropless());
  EXPECT_TRUE(read("rule = \"none\"").is_dropless());
  EXPECT_EQ(to_json(CapacityConfig{}).dump(), R"({"rule":"none"})");
  EXPECT_THAT(message_for("rule = \"none\"\nfactor_train = 1.0"),
              HasSubstr("c.toml:2:1: got model.capacity.factor_train with model.capacity.rule = \"none\""));
}

TEST(CapacityConfig, ARuleIsAPresetThatKeysOverride) {
  const auto plain = read("rule = \"switch\""),
             changed = read("rule = \"switch\"\nfactor_train = 1\npriority = \"probs\"\nrenormalize = \"after\"");
  EXPECT_EQ(plain, capacity_rule("switch", ""));
  EXPECT_EQ(plain.factor_train, 1.25);
  EXPECT_EQ(changed.factor_train, 1.0);
  EXPECT_EQ(changed.factor_eval, 2.0);
  EXPECT_EQ(changed.minimum, 4);
  EXPECT_EQ(changed.priority, Priority::probs);
  EXPECT_EQ(changed.renormalize, Renormalize::after);
  EXPECT_EQ(changed.rounding, Rounding::half_even);
}

TEST(CapacityConfig, KeysOverrideWhateverTheirPlaceInTheTable) {
  EXPECT_EQ(read("minimum = 7\nrule = \"switch\""), read("rule = \"switch\"\nminimum = 7"));
}

TEST(CapacityConfig, EveryRuleReadsBackWhatItWrites) {
  for (const auto& rule : capacity_rules()) {
    const Json json = to_json(rule.config);
    std::string toml;
    for (const auto& [key, value] : json.as_object()) toml += key + " = " + value.dump() + "\n";
    EXPECT_EQ(read(toml), rule.config) << toml;
    EXPECT_EQ(json.size(), 11u) << toml;  // every key
    EXPECT_EQ(capacity_rule(rule.config.rule, ""), rule.config);
  }
}

TEST(CapacityConfig, KeysWithoutARuleAreAnError) {
  EXPECT_THAT(message_for("factor_train = 1.5"), HasSubstr("got model.capacity without a rule; need rule ="));
  EXPECT_THAT(message_for("factor_trian = 1.5"), HasSubstr("did you mean 'factor_train'"));
  EXPECT_THAT(message_for("rule = \"swich\""),
              HasSubstr("c.toml:1:1: got model.capacity.rule = 'swich'; need one of: none, megatron-probs"));
  EXPECT_THAT(message_for("rule = \"swich\""), HasSubstr("did you mean 'switch'"));
  EXPECT_THAT(message_for("rule = 1"), HasSubstr("model.capacity.rule"));
  const auto number = parse_toml("c = 1.25", "c", "");
  CapacityConfig out;
  EXPECT_THROW(read_value(*number.find("c"), "model.capacity", out), ConfigError);
}

TEST(CapacityConfig, RefusesValuesOutsideTheirRange) {
  const auto with = [](const std::string& rule, const std::string& line) {
    return message_for("rule = \"" + rule + "\"\n" + line);
  };
  for (const auto* key : {"factor_train", "factor_eval"}) {
    EXPECT_THAT(with("switch", std::string(key) + " = 0.0"),
                HasSubstr("c.toml:2:1: got model.capacity." + std::string(key) + " = 0; need more than 0"));
    EXPECT_THAT(with("switch", std::string(key) + " = -1.0"), HasSubstr("more than 0"));
    EXPECT_THAT(with("switch", std::string(key) + " = nan"), HasSubstr("need"));
    EXPECT_THAT(with("switch", std::string(key) + " = inf"), HasSubstr("need"));
    EXPECT_THAT(with("megablocks", std::string(key) + " = -1.0"), HasSubstr("0..1e6 (0 = no limit)"));
    EXPECT_THAT(with("tutel", std::string(key) + " = -2e6"), HasSubstr("-1e6..1e6"));
    EXPECT_EQ(read("rule = \"megablocks\"\n" + std::string(key) + " = 0").rule, "megablocks");
    EXPECT_EQ(read("rule = \"tutel\"\n" + std::string(key) + " = -1.5").rule, "tutel");
  }
  EXPECT_THAT(with("switch", "minimum = -1"), HasSubstr("got model.capacity.minimum = -1; need 0 or more"));
  EXPECT_THAT(with("switch", "group_size = -1"),
              HasSubstr("got model.capacity.group_size = -1; need 0 (no groups) or more"));
  EXPECT_THAT(with("openmoe", "group_size = 0"),
              HasSubstr("need at least 1 with model.capacity.grouping = \"flaxformer\""));
  EXPECT_THAT(with("switch", "rounding = \"up\""),
              HasSubstr("need one of: ceil, ceil_fp32, floor, half_even, floor_to_even, floor_of_ceil"));
  EXPECT_THAT(with("switch", "priority = \"first\""),
              HasSubstr("need one of: position, first_choices, best_first, probs, random"));
  EXPECT_THAT(with("switch", "grouping = \"even\""), HasSubstr("need one of: cut, flaxformer"));
  for (const auto* value : {"true", "\"yes\"", "1"})
    EXPECT_THAT(with("switch", std::string("renormalize = ") + value),
                HasSubstr("need false, \"before\" or \"after\""));
  EXPECT_EQ(read("rule = \"tutel\"\nrenormalize = false").renormalize, Renormalize::none);
}

TEST(CapacityConfig, RefusesModelsThatCannotHaveIt) {
  const auto check = [](const std::string& toml, RouterTraits traits) {
    check_capacity(read(toml), {4, 2, 0}, traits, "here");
  };
  RouterTraits varying;
  varying.exactly_k = false;
  check("", varying);  // dropless suits every router
  check("rule = \"switch\"", {});
  EXPECT_THAT(
      testing::message_of<ConfigError>([&] { check("rule = \"switch\"", varying); }),
      HasSubstr("here: got model.capacity.rule = 'switch' with a router that does not give every token 2 experts"));
  check("rule = \"megatron-probs\"\npad = true\nfactor_train = 2.0\nfactor_eval = 2.0", {});  // C = T
  const std::string more_rows_than_tokens = "rule = \"megatron-probs\"\npad = true\nfactor_eval = 2.5";
  EXPECT_THAT(testing::message_of<ConfigError>([&] { check(more_rows_than_tokens, {}); }),
              HasSubstr("got model.capacity.pad with a factor of 2.5, which is more rows an expert than there are "
                        "tokens; need at most 2"));
  check(more_rows_than_tokens + "\ntimes_k = false", {});
}

TEST(ExpertCapacity, IsThatOfEverySource) {
  const auto golden = testing::read_golden("capacity.json");
  for (const auto& row : golden.outputs.at("capacities").as_array()) {
    auto config = capacity_rule(row.at(0).as_string(), "");
    config.factor_train = config.factor_eval = row.at(5).as_double();
    const auto mode = row.at(1).as_string() == "train" ? Mode::train : Mode::eval;
    const auto got = expert_capacity(config, mode, row.at(2).as_int(), {row.at(3).as_int(), row.at(4).as_int(), 0});
    EXPECT_EQ(got ? Json(*got) : Json(), row.at(6)) << row.dump();
  }
}

TEST(ExpertCapacity, PicksTheFactorOfTheMode) {
  const auto config = capacity_rule("openmoe", "");
  EXPECT_EQ(expert_capacity(config, Mode::train, 4096, {32, 2, 0}), 160);  // OpenMoE 8B, routing of arXiv 2402.01739
  EXPECT_EQ(expert_capacity(config, Mode::eval, 4096, {32, 2, 0}), 256);
  EXPECT_EQ(expert_capacity(config, Mode::eval, 64, {32, 2, 0}), 4);
  EXPECT_EQ(expert_capacity({}, Mode::train, 4096, {32, 2, 0}), std::nullopt);
}

TEST(ExpertCapacity, MinimumAndNoLimit) {
  auto config = capacity_rule("megablocks", "");
  EXPECT_EQ(expert_capacity(config, Mode::train, 3, {8, 2, 0}), std::nullopt);  // int(0.75) = 0
  config.minimum = 2;
  EXPECT_EQ(expert_capacity(config, Mode::train, 3, {8, 2, 0}), 2);
  config.factor_train = 0;
  EXPECT_EQ(expert_capacity(config, Mode::train, 64, {8, 2, 0}), std::nullopt);  // 0 is no limit, whatever the minimum
  config = capacity_rule("tutel", "");
  config.factor_train = 0;
  EXPECT_EQ(expert_capacity(config, Mode::train, 64, {8, 2, 0}), std::nullopt);
  EXPECT_EQ(expert_capacity(config, Mode::eval, 64, {8, 2, 0}), 16);
}

TEST(CapacityTraits, OnlyPositionsAreCausal) {
  EXPECT_TRUE(capacity_traits({}, 2).is_causal);
  EXPECT_EQ(capacity_traits({}, 2).eval_scope, Scope::token);
  EXPECT_TRUE(capacity_traits(capacity_rule("megablocks", ""), 2).is_causal);
  EXPECT_TRUE(capacity_traits(capacity_rule("switch", ""), 1).is_causal);
  EXPECT_FALSE(capacity_traits(capacity_rule("switch", ""), 2).is_causal);
  EXPECT_FALSE(capacity_traits(capacity_rule("megatron-probs", ""), 1).is_causal);
  EXPECT_EQ(capacity_traits(capacity_rule("switch", ""), 2).train_scope, Scope::micro_batch);
}

}  // namespace
}  // namespace evenkeel::moe
