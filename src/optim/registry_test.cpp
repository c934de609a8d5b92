#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "optim/optimizer.h"
#include "support/files.h"

namespace evenkeel::optim {
namespace {

using ::testing::HasSubstr;

std::string message_for(const std::string& toml) {
  return testing::message_of<ConfigError>([&] { make_optimizer({}, parse_toml(toml, "r.toml", "")); });
}

TEST(Optimizers, AreChosenByKind) {
  EXPECT_EQ(make_optimizer({}, {})->options().at("kind").as_string(), "adamw");
  for (const auto& kind : optimizer_kinds()) {
    const auto config = parse_toml("kind = \"" + std::string(kind.name) + "\"", "r.toml", "");
    EXPECT_EQ(make_optimizer({}, config)->options().at("kind").as_string(), kind.name);
  }
  EXPECT_EQ(message_for("kind = \"sgd\""), "r.toml:1:1: got optimizer.kind = 'sgd'; need one of: adamw, adafactor");
}

TEST(Optimizers, RefuseWhatIsNoTable) {
  ConfigNode config;
  config.value = std::string("adafactor");
  config.where = "r.toml:3:1";
  EXPECT_THAT(testing::message_of<ConfigError>([&] { make_optimizer({}, config); }), HasSubstr("a table"));
}

TEST(Optimizers, RefuseKeysOfAnotherKind) {
  EXPECT_THAT(message_for("kind = \"adafactor\"\nbetas = [0.9, 0.95]"), HasSubstr("unknown key 'optimizer.betas'"));
  EXPECT_THAT(message_for("kind = \"adamw\"\nmin_factored = 4"), HasSubstr("unknown key 'optimizer.min_factored'"));
}

TEST(Optimizers, ListTheirKeysWithTheKindsThatReadThem) {
  const auto keys = optimizer_keys("optimizer");
  const auto find = [&](const std::string& key) {
    std::vector<ConfigKey> found;
    for (const auto& entry : keys)
      if (entry.key == "optimizer." + key) found.push_back(entry);
    return found;
  };
  EXPECT_TRUE(find("kind").at(0).is_of_all_kinds);
  EXPECT_EQ(find("betas").at(0).kinds, (std::vector<std::string>{"adamw"}));
  EXPECT_EQ(find("min_factored").at(0).kinds, (std::vector<std::string>{"adafactor"}));
  EXPECT_EQ(find("clip_norm").size(), 2u);  // it is on for one and off for the other unless a recipe says so
}

}  // namespace
}  // namespace evenkeel::optim
