#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "moe/router.h"
#include "support/files.h"

namespace evenkeel::moe {
namespace {

using ::testing::HasSubstr;

TEST(RouterRegistry, NamesAreUniqueAndExplained) {
  std::vector<std::string> names;
  for (const auto& kind : router_kinds()) {
    EXPECT_EQ(std::count(names.begin(), names.end(), kind.name), 0) << kind.name;
    EXPECT_FALSE(std::string(kind.help).empty());
    names.emplace_back(kind.name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"top_k", "sinkhorn", "loss_free", "quantile", "expert_choice", "base",
                                             "hash", "random", "uniform"}));
}

TEST(RouterRegistry, GivesTopKWithoutAKind) {
  EXPECT_EQ(make_router({4, 2}, config_table("r"))->options().at("kind").as_string(), "top_k");
  EXPECT_EQ(make_router({4, 2}, ConfigNode{})->options().at("kind").as_string(), "top_k");
}

TEST(RouterRegistry, RefusesAnUnknownKindWithPlaceAndChoices) {
  const auto config = parse_toml("kind = \"magic\"", "recipe.toml", "");
  const auto message = testing::message_of<ConfigError>([&] { make_router({4, 2}, config); });
  EXPECT_THAT(message, HasSubstr("recipe.toml:1:1"));
  EXPECT_THAT(message, HasSubstr("'magic'"));
  EXPECT_THAT(message, HasSubstr("top_k, sinkhorn"));
  EXPECT_THROW(make_router({4, 2}, parse_toml("kind = 3", "r", "")), ConfigError);
}

}  // namespace
}  // namespace evenkeel::moe
