#include "train/phase.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using testing::tiny_config;

constexpr const char* kThird =
    "phase=[{name = \"one\"}, {name = \"two\"}, {name = \"three\", steps = 5, data = [{name = \"a\", path = \"a\"}], "
    "schedule = {kind = \"constant\", lr_max = 1e-3}}]";

RunConfig three_phases(const std::string& start = "", const std::string& folder = "/data") {
  std::vector<std::string> overrides;
  if (!start.empty()) overrides.push_back("phase.three.start=" + start);
  ConfigNode root = testing::tiny_recipe(folder);
  merge_config(root, parse_toml(kThird, "r.toml", folder));
  for (const auto& assignment : overrides) apply_override(root, assignment);
  return read_run_config(root);
}

TEST(Phases, FirstStepsFollowEachOther) { EXPECT_THAT(phase_first_steps(three_phases()), ElementsAre(1, 7, 11, 16)); }

TEST(PhaseStart, IsTheEndOfThePhaseBeforeByDefault) {
  const auto config = three_phases();
  EXPECT_EQ(phase_start(config, 0).step, 0);
  EXPECT_EQ(phase_start(config, 1).step, 6);
  EXPECT_EQ(phase_start(config, 2).step, 10);
  EXPECT_TRUE(phase_start(config, 2).folder.empty());
  EXPECT_FALSE(phase_start(config, 2).resets_optimizer);
}

TEST(PhaseStart, TakesAPhaseAndAStepOfIt) {
  EXPECT_EQ(phase_start(three_phases("{from = \"one\"}"), 2).step, 6);
  EXPECT_EQ(phase_start(three_phases("{from = \"one\", step = 1}"), 2).step, 1);
  EXPECT_EQ(phase_start(three_phases("{from = \"two\", step = 7}"), 2).step, 7);
  const auto reset = phase_start(three_phases("{optimizer = \"reset\", step = 9}"), 2);  // of the phase before
  EXPECT_EQ(reset.step, 9);
  EXPECT_TRUE(reset.resets_optimizer);
}

TEST(PhaseStart, RefusesStepsAndNamesThatAreNotThere) {
  EXPECT_THAT(message_of<ConfigError>([] { phase_start(three_phases("{from = \"one\", step = 7}"), 2); }),
              HasSubstr("a step of phase 'one', 1..6"));
  EXPECT_THAT(message_of<ConfigError>([] { phase_start(three_phases("{from = \"two\", step = 6}"), 2); }),
              HasSubstr("a step of phase 'two', 7..10"));
  EXPECT_THAT(message_of<ConfigError>([] { phase_start(three_phases("{from = \"tow\"}"), 2); }),
              HasSubstr("got start.from = 'tow'; need an earlier phase (one, two)"));
  // A later phase is no place to start from, nor is the phase itself.
  EXPECT_THROW(phase_start(three_phases("{from = \"three\"}"), 2), ConfigError);
}

PhaseRecord record_of(const std::string& name, int64_t draws) {
  PhaseRecord record;
  record.name = name;
  record.drawn.draws = draws;
  record.shuffle = false;
  record.drawn.start_cursors = {{"content", {5, 0, 5}}};
  record.sources = {{.spec = {"old", "/elsewhere/old", 2.0, "w"}}};
  return record;
}

TEST(PhaseDraws, WithoutReplayAreThePhasesOwnData) {
  const auto config = tiny_config("/data", {"phase.two.shuffle=false"});
  const auto draws = phase_draws(config, config.phases[1], {record_of("one", 24), record_of("two", 0)});
  ASSERT_EQ(draws.data.size(), 1u);
  EXPECT_EQ(draws.data[0].name, "b");
  EXPECT_EQ(draws.data[0].path, "/data/b");
  EXPECT_TRUE(draws.replay.empty());
  EXPECT_EQ(draws.replay_fraction, 0);
  EXPECT_FALSE(draws.shuffle);
}

TEST(PhaseDraws, ReplayTakesTheMixtureOfAnEarlierPhase) {
  const auto config = tiny_config("/data", {"phase.two.replay={fraction = 0.25, from = \"one\", mode = \"seen\"}"});
  const auto draws = phase_draws(config, config.phases[1], {record_of("one", 24), record_of("two", 0)});
  ASSERT_EQ(draws.replay.size(), 1u);
  EXPECT_EQ(draws.replay[0].name, "replay/a");
  EXPECT_EQ(draws.replay[0].path, "/data/a");
  EXPECT_EQ(draws.replay_fraction, 0.25);
  EXPECT_TRUE(draws.replay_seen);
  EXPECT_TRUE(draws.shuffle);
  EXPECT_FALSE(draws.replay_shuffle);  // as the earlier phase drew
  EXPECT_EQ(draws.past.draws, 24);
  EXPECT_EQ(draws.past.start_cursors.at("content").samples, 5);
}

TEST(PhaseStart, HasTheFolderOfEachOfItsSteps) {
  PhaseStart own, outside;
  own.step = 4;
  EXPECT_EQ(folder_of_step("/run", own, 4), "/run/checkpoints/step-00000004");
  outside.folder = "/other/checkpoints/step-00000012";
  outside.step = 12;
  EXPECT_EQ(folder_of_step("/run", outside, 12), outside.folder);
  EXPECT_EQ(folder_of_step("/run", outside, 8), "/other/checkpoints/step-00000008");
}

// Another run may bring phases along that the recipe does not name.
const std::string kFromElsewhere = "phase.one.start={from = \"/elsewhere\"}";

TEST(PhaseDraws, ReplayMayNameAPhaseOfAnotherRun) {
  const auto config = tiny_config("/data", {kFromElsewhere, "phase.two.replay={fraction = 0.5, from = \"theirs\"}"});
  const auto draws =
      phase_draws(config, config.phases[1], {record_of("theirs", 8), record_of("one", 24), record_of("two", 0)});
  ASSERT_EQ(draws.replay.size(), 1u);
  EXPECT_EQ(draws.replay[0].name, "replay/old");
  EXPECT_EQ(draws.replay[0].path, "/elsewhere/old");
  EXPECT_EQ(draws.replay[0].weight, 2.0);
  EXPECT_FALSE(draws.replay_seen);
}

// What is replayed is what came before, also where a later phase of the recipe has that name.
TEST(PhaseDraws, ALaterPhaseOfThatNameIsNoneToReplay) {
  const auto config = tiny_config("/data", {kFromElsewhere, "phase.one.replay={fraction = 0.5, from = \"two\"}"});
  const auto draws = phase_draws(config, config.phases[0], {record_of("two", 8), record_of("one", 0)});
  ASSERT_EQ(draws.replay.size(), 1u);
  EXPECT_EQ(draws.replay[0].name, "replay/old");
  EXPECT_EQ(draws.replay[0].path, "/elsewhere/old");
}

TEST(PhaseDraws, ReplayMayNameItsOwnSources) {
  const auto config =
      tiny_config("/data", {"phase.two.replay={fraction = 0.5, data = [{name = \"c\", path = \"/c\", weight = 3}]}"});
  const auto draws = phase_draws(config, config.phases[1], {record_of("one", 24), record_of("two", 0)});
  ASSERT_EQ(draws.replay.size(), 1u);
  EXPECT_EQ(draws.replay[0].name, "replay/c");
  EXPECT_EQ(draws.replay[0].weight, 3.0);
}

TEST(PhaseDraws, ReplayNeedsAPhaseThatCameBefore) {
  const auto config = tiny_config("/data", {kFromElsewhere, "phase.two.replay={fraction = 0.5, from = \"theirs\"}"});
  EXPECT_THAT(message_of<ConfigError>([&] {
                phase_draws(config, config.phases[1], {record_of("one", 24), record_of("two", 0)});
              }),
              HasSubstr("need a phase that came before: one"));
}

}  // namespace
}  // namespace evenkeel::train
