#include "cli/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "moe/router.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "support/files.h"
#include "support/tiny_run.h"

namespace evenkeel::cli {
namespace {

using ::testing::HasSubstr;

TEST(ReadRecipe, PutsOverridesAndTheSeedAboveTheFile) {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("r.toml", testing::tiny_recipe_text()).string();
  const auto plain = train::read_run_config(read_recipe(path, {}));
  EXPECT_EQ(plain.train.seed, 1);
  EXPECT_EQ(plain.phases[0].data[0].path.value, (folder / "a").string());
  const auto changed = train::read_run_config(read_recipe(path, {"train.seed=3", "train.batch_size=8"}, 4));
  EXPECT_EQ(changed.train.batch_size, 8);
  EXPECT_EQ(changed.train.seed, 4);  // --seed is the last word
  EXPECT_EQ(train::read_run_config(read_recipe(path, {"train.seed=3"})).train.seed, 3);
  EXPECT_EQ(train::read_run_config(read_recipe(path, {}, 0)).train.seed, 0);
}

TEST(ListChoices, NamesEveryRouterOptimizerAndSchedule) {
  Options options("plan", "what it does", {"--help"});
  list_choices(options);
  ::testing::internal::CaptureStdout();
  EXPECT_FALSE(options.parse());
  const std::string help = ::testing::internal::GetCapturedStdout();
  for (const auto& kind : moe::router_kinds())
    EXPECT_THAT(help, HasSubstr(std::string("\n  ") + kind.name + " ")) << kind.name;
  for (const auto& kind : optim::optimizer_kinds())
    EXPECT_THAT(help, HasSubstr(std::string("\n  ") + kind.name + " ")) << kind.name;
  for (const auto& kind : optim::schedule_kinds())
    EXPECT_THAT(help, HasSubstr(std::string("\n  ") + kind.name + " ")) << kind.name;
  EXPECT_THAT(help, HasSubstr("not causal"));
}

TEST(ReadRecipe, ErrorsNameTheFileOrTheOption) {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("r.toml", "[model]\nvocab_size = 1 2\n").string();
  EXPECT_THAT(testing::message_of<ConfigError>([&] { read_recipe(path, {}); }), HasSubstr("r.toml:2"));
  const auto good = folder.write("good.toml", testing::tiny_recipe_text()).string();
  EXPECT_THAT(testing::message_of<ConfigError>([&] { read_recipe(good, {"train.seed"}); }),
              HasSubstr("--set: got 'train.seed'"));
  EXPECT_THAT(testing::message_of<ConfigError>([&] { train::read_run_config(read_recipe(good, {"train.sede=1"})); }),
              HasSubstr("--set train.sede"));
  EXPECT_ANY_THROW(read_recipe((folder / "nowhere.toml").string(), {}));
}

}  // namespace
}  // namespace evenkeel::cli
