#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/objectives/objective.h"
#include "support/files.h"

namespace evenkeel::data {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

ConfigNode table(const std::string& toml) { return *parse_toml("objective = " + toml, "r.toml", "").find("objective"); }

TEST(Objectives, AreChosenByTheirKindAndWrittenWhole) {
  ASSERT_FALSE(objective_kinds().empty());
  EXPECT_EQ(make_objective({}, {.sequence_length = 8})->options().dump(), R"({"kind":"causal"})");
  const ObjectivePlace place{.sequence_length = 8, .vocab_size = 16};
  for (const auto& kind : objective_kinds()) {
    const auto made = make_objective(table("{kind = \"" + std::string(kind.name) + "\"}"), place);
    EXPECT_EQ(made->kind(), kind.name);
    EXPECT_EQ(make_objective(config_from_json(made->options(), "json"), place)->options(), made->options());
  }
}

TEST(Objectives, NameWhatTheyDoNotKnow) {
  EXPECT_THAT(message_of<ConfigError>([] { make_objective(table("{kind = \"ul3\"}"), {.sequence_length = 8}); }),
              AllOf(HasSubstr("phase.objective.kind = 'ul3'"), HasSubstr("need one of: causal")));
  EXPECT_THAT(
      message_of<ConfigError>([] { make_objective(table("{kind = \"causal\", span = 3}"), {.sequence_length = 8}); }),
      HasSubstr("span"));
  EXPECT_THAT(message_of<ConfigError>([] { make_objective(table("\"causal\""), {.sequence_length = 8}); }),
              HasSubstr("a table such as"));
}

TEST(Objectives, ListTheirKeys) {
  const auto keys = objective_keys("phase.NAME.objective");
  ASSERT_FALSE(keys.empty());
  EXPECT_EQ(keys[0].key, "phase.NAME.objective.kind");
}

}  // namespace
}  // namespace evenkeel::data
