#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "moe/balance_loss.h"
#include "support/files.h"

namespace evenkeel::moe {
namespace {

using ::testing::HasSubstr;

BalanceConfig read(const std::string& toml) {
  BalanceConfig config;
  read_value(parse_toml(toml, "b", ""), "model.balance", config);
  return config;
}

TEST(BalanceConfig, TakesOneLossOrAList) {
  const auto one = read("loss = \"hf\"\ncoefficient = 0.5\nz_coefficient = 0.25\nz_reduce = \"mean\"");
  ASSERT_EQ(one.terms.size(), 1u);
  EXPECT_EQ(one.terms[0].loss, "hf");
  EXPECT_EQ(one.terms[0].coefficient, 0.5);
  EXPECT_EQ(one.z_coefficient, 0.25);
  EXPECT_EQ(one.z_reduce, ZReduction::mean);
  EXPECT_EQ(read("loss = \"hf\"").terms.at(0).coefficient, 0.01);
  const auto two = read(
      "loss = [{loss = \"switch\", coefficient = 0.1}, {loss = \"flaxformer\", coefficient = 0.2, group_size = 4096}]");
  ASSERT_EQ(two.terms.size(), 2u);
  EXPECT_EQ(two.terms[0].coefficient, 0.1);
  EXPECT_EQ(two.terms[1].coefficient, 0.2);
  EXPECT_EQ(two.terms[1].group_size, 4096);
  EXPECT_TRUE(read("").terms.empty());
  EXPECT_TRUE(read("loss = []").terms.empty());
  EXPECT_TRUE(read("z_coefficient = 0.1").terms.empty());
}

TEST(BalanceConfig, KeysReplaceTheSettingsOfTheSource) {
  const auto term = read("loss = \"switch\"\nreduce = \"mean\"\ncounts = \"kept\"").terms.at(0);
  EXPECT_EQ(kind_of(term).layers, LayerReduction::mean);
  EXPECT_EQ(kind_of(term).counts, Counts::kept);
  const auto plain = kind_of(read("loss = \"switch\"").terms.at(0));
  EXPECT_EQ(plain.layers, LayerReduction::sum);
  EXPECT_EQ(plain.counts, Counts::plain);
  EXPECT_EQ(kind_of(read("loss = \"megablocks\"\ncounts = \"plain\"\nreduce = \"sum\"").terms.at(0)).counts,
            Counts::plain);
  EXPECT_EQ(read("loss = \"gshard\"\ngroup_size = 1024").terms.at(0).group_size, 1024);
}

TEST(BalanceConfig, WritesEveryKeyAndReadsWhatItWrites) {
  const auto config = read(
      "loss = [{loss = \"switch\", coefficient = 0.1}, {loss = \"hf\", coefficient = 0.5, counts = "
      "\"actual\"}]\nz_coefficient = 0.2");
  EXPECT_EQ(
      to_json(config).dump(),
      R"({"loss":[{"loss":"switch","coefficient":0.1,"reduce":"sum","counts":"plain","group_size":0},)"
      R"({"loss":"hf","coefficient":0.5,"reduce":"concatenated","counts":"actual","group_size":0}],"z_coefficient":0.2,"z_reduce":"sum"})");
  for (const auto& kind : balance_loss_kinds()) {  // what is written, given again key by key
    const Json written = to_json(read("loss = \"" + std::string(kind.name) + "\""));
    std::string toml;
    for (const auto& [key, value] : written.at("loss").at(size_t{0}).as_object())
      toml += key + " = " + value.dump() + "\n";
    EXPECT_EQ(to_json(read(toml)), written) << kind.name;
  }
}

std::string message_for(const std::string& toml) {
  return testing::message_of<ConfigError>([&] { read(toml); });
}

TEST(BalanceConfig, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(message_for("loss = \"magic\""),
              HasSubstr("got model.balance.loss = 'magic'; need one of: switch, gshard, megatron, megatron_sequence"));
  EXPECT_THAT(message_for("loss = \"\""), HasSubstr("got model.balance.loss = ''; need one of"));
  EXPECT_THAT(message_for("loss = \"hf\"\ncoefficient = -1.0"), HasSubstr("need at least 0"));
  EXPECT_THAT(message_for("z_reduce = \"max\""),
              HasSubstr("b:1:1: got model.balance.z_reduce = 'max'; need one of: sum, mean"));
  EXPECT_THAT(message_for("z_coefficient = -0.1"), HasSubstr("need at least 0"));
  EXPECT_THAT(message_for("loss = \"hf\"\ncoefficient = inf"),
              HasSubstr("b:2:1: got model.balance.coefficient = inf; need a finite number"));
  EXPECT_THAT(message_for("lossy = 1"), HasSubstr("did you mean 'loss'"));
  EXPECT_THAT(message_for("loss = \"switch\"\nreduce = \"max\""),
              HasSubstr("got model.balance.reduce = 'max'; need one of: sum, mean, concatenated"));
  EXPECT_THAT(message_for("loss = \"switch\"\ncounts = \"all\""),
              HasSubstr("got model.balance.counts = 'all'; need one of: plain, first, actual, kept"));
  EXPECT_THAT(message_for("loss = \"gshard\"\ngroup_size = -1"),
              HasSubstr("got model.balance.group_size = -1; need at least 0"));
}

TEST(BalanceConfig, RefusesKeysWithoutALossToBelongTo) {
  for (const std::string key : {"coefficient = 0.1", "reduce = \"mean\"", "counts = \"plain\"", "group_size = 4"}) {
    EXPECT_THAT(message_for(key), HasSubstr("need the name of the loss"));
    EXPECT_THAT(message_for("loss = [{loss = \"hf\", coefficient = 0.1}]\n" + key), HasSubstr("beside a list"));
  }
}

TEST(BalanceConfig, RefusesWhatContradictsTheLoss) {
  EXPECT_THAT(message_for("loss = \"hf\"\nreduce = \"mean\""),
              HasSubstr("got model.balance.reduce = 'mean'; need concatenated or nothing, since 'hf' joins"));
  EXPECT_THAT(message_for("loss = \"switch\"\nreduce = \"concatenated\""), HasSubstr("need one of: sum, mean"));
  for (const std::string loss : {"gshard", "tutel", "deepspeed"})
    EXPECT_THAT(message_for("loss = \"" + loss + "\"\ncounts = \"actual\""),
                HasSubstr("need first or nothing, since '" + loss + "' counts first choices"));
  EXPECT_THAT(message_for("loss = \"megatron\"\ncounts = \"first\""), HasSubstr("need one of: plain, actual, kept"));
  EXPECT_THAT(message_for("loss = \"switch\"\ngroup_size = 64"), HasSubstr("need 0, since 'switch' has no groups"));
}

TEST(BalanceConfig, ErrorsOfAListNameTheTable) {
  EXPECT_THAT(message_for("loss = [{loss = \"switch\"}]"),
              HasSubstr("got model.balance.loss[0] without a coefficient"));
  const auto message = message_for(
      "loss = [\n  {loss = \"switch\", coefficient = 0.1},\n  {loss = \"hf\", coefficient = 0.1, reduce = "
      "\"sum\"},\n]");
  EXPECT_THAT(message, HasSubstr("b:3:"));
  EXPECT_THAT(message, HasSubstr("got model.balance.loss[1].reduce = 'sum'"));
  EXPECT_THAT(message_for("loss = [{loss = \"hf\", coefficient = 1}, {loss = \"hf\", coefficient = 2}]"),
              HasSubstr("got model.balance.loss[1].loss = 'hf' a second time"));
}

}  // namespace
}  // namespace evenkeel::moe
