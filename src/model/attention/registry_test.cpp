#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/attention/attention.h"
#include "support/files.h"

namespace evenkeel::model {
namespace {

using ::testing::HasSubstr;

ModelConfig config_of(const std::string& attention) {
  return read_model_config(parse_toml(
      "vocab_size = 10\nd_model = 8\nn_layers = 2\nn_heads = 4\nd_ff = 5\nattention = " + attention, "m.toml", ""));
}

TEST(AttentionRegistry, IsGroupedWithoutAKind) {
  ASSERT_FALSE(attention_kinds().empty());
  EXPECT_EQ(make_attention(config_of("{}"), 0)->options().at("kind").as_string(), "grouped");
  EXPECT_EQ(model_config_json(config_of("{}")), model_config_json(config_of("{kind = \"grouped\"}")));
  for (const auto& kind : attention_kinds()) EXPECT_FALSE(std::string(kind.help).empty()) << kind.name;
}

// What [model.attention] says of one layer is checked for each of them.
TEST(AttentionRegistry, IsCheckedForEveryLayer) {
  EXPECT_THAT(testing::message_of<ConfigError>([] { config_of("{window = 2, window_layers = [2]}"); }),
              HasSubstr("m.toml:6:26: got model.attention.window_layers = 2; need layers 0..1"));
  EXPECT_TRUE(takes_masks(config_of("{window = 2, window_layers = [1]}")));
}

TEST(AttentionRegistry, RefusesWhatItDoesNotKnowWithThePlace) {
  const auto refusal = [](const std::string& attention) {
    return testing::message_of<ConfigError>([&] { config_of(attention); });
  };
  EXPECT_THAT(refusal("{kind = \"mla\"}"),
              HasSubstr("m.toml:6:14: got model.attention.kind = 'mla'; need one of: grouped, latent"));
  EXPECT_THAT(refusal("{kind = \"grouped\", heads = 2}"), HasSubstr("model.attention"));
  EXPECT_THAT(refusal("3"), HasSubstr("a table such as {kind = \"grouped\"}"));
}

}  // namespace
}  // namespace evenkeel::model
