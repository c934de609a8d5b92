#include "train/rate_patterns.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/layout.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::tiny_config;

TEST(RatePatterns, FrozenAndSlowParametersTakeTheSmallestFactor) {
  const auto config = tiny_config("/data", {"phase.one.slow={\"layers.*.router.weight\" = 0.5, \"layers.1.*\" = 0.1}",
                                            "phase.one.freeze=[\"head.weight\"]"});
  const auto factors = config.phases[0].rate_factors(config.model);
  const auto table = model::parameter_table(config.model);
  std::map<std::string, double> of;
  for (size_t i = 0; i < table.size(); ++i) of[table[i].name] = factors.of(i);
  EXPECT_EQ(of.at("layers.0.router.weight"), 0.5);
  EXPECT_EQ(of.at("layers.1.router.weight"), 0.1);
  EXPECT_EQ(of.at("layers.1.attention.qkv.weight"), 0.1);
  EXPECT_EQ(of.at("head.weight"), 0.0);
  EXPECT_EQ(of.at("embedding.weight"), 1.0);
  EXPECT_EQ(of.at("layers.0.attention.qkv.weight"), 1.0);
}

TEST(RatePatterns, PatternsMayNameRows) {
  const auto config =
      tiny_config("/data", {"phase.one.slow={\"layers.*.experts.*[2:]\" = 0.5, \"layers.1.experts.down\" = 0.7}",
                            "phase.one.freeze=[\"embedding.weight[:10]\", \"head.weight[:4]\", \"head.weight[4:]\"]"});
  const auto factors = config.phases[0].rate_factors(config.model);
  const auto table = model::parameter_table(config.model);
  std::map<std::string, std::vector<optim::RowRate>> of;
  for (size_t i = 0; i < table.size(); ++i) of[table[i].name] = factors.ranges(i, table[i].shape[0]);
  using Ranges = std::vector<optim::RowRate>;
  EXPECT_EQ(of.at("embedding.weight"), (Ranges{{0, 10, 0}, {10, 16, 1}}));
  EXPECT_EQ(of.at("layers.0.experts.gate_up"), (Ranges{{0, 2, 1}, {2, 4, 0.5}}));
  EXPECT_EQ(of.at("layers.1.experts.down"), (Ranges{{0, 2, 0.7}, {2, 4, 0.5}}));
  EXPECT_EQ(of.at("head.weight"), (Ranges{{0, 16, 0}}));
  EXPECT_TRUE(factors.is_frozen(table.size() - 1));  // the head
  EXPECT_FALSE(factors.is_frozen(0));                // the embedding
  const auto message = [](const std::string& pattern) {
    return message_of<ConfigError>([&] { tiny_config("/data", {"phase.one.freeze=[\"" + pattern + "\"]"}); });
  };
  EXPECT_THAT(message("embedding.weight[5]"), HasSubstr("need a range of rows"));
  EXPECT_THAT(message("embedding.weight[10:17]"), HasSubstr("need rows within the 16 of embedding.weight"));
  EXPECT_THAT(message("embeding.weight[:5]"), HasSubstr("need one that matches a parameter"));
}

}  // namespace
}  // namespace evenkeel::train
