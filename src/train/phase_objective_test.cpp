#include "train/phase_objective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/loader.h"
#include "support/made_sets.h"
#include "support/tiny_run.h"
#include "train/phase.h"
#include "train/recipe_changes.h"

namespace evenkeel::train {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
using testing::tiny_config;

// The tiny recipe with two sources in phase "one"; sentinels are 15 and below, of 16 ids.
const std::string kTwoSources =
    "phase.one.data=[{name = \"a\", path = \"/data/a\"}, {name = \"c\", path = \"/data/c\", objective = {kind = "
    "\"prefix_lm\"}}]";
const std::string kUl2 = "phase.one.objective={kind = \"ul2\", inputs = 4, targets = 4}";

TEST(PhaseObjective, IsOfThePhaseOrOfTheSourceAndNotInherited) {
  const auto config = tiny_config("/data", {kTwoSources, kUl2});
  const auto& [one, two] = std::tie(config.phases[0], config.phases[1]);
  EXPECT_EQ(phase_objective(config, one)->kind(), "ul2");
  EXPECT_EQ(source_objective(config, one, one.data[0])->kind(), "ul2");
  EXPECT_EQ(source_objective(config, one, one.data[1])->kind(), "prefix_lm");
  EXPECT_EQ(phase_objective(config, two)->kind(), "causal");
}

TEST(PhaseObjective, IsWrittenWholeWhereItIsNamed) {
  const Json phase = run_config_json(tiny_config("/data", {kTwoSources, kUl2})).at("phase").at(0);
  EXPECT_EQ(phase.at("objective").at("first_sentinel").as_int(), 15);
  EXPECT_EQ(phase.at("data").at(0).find("objective"), nullptr);
  EXPECT_EQ(phase.at("data").at(1).at("objective").dump(), R"({"kind":"prefix_lm","prefix_attention":false})");
  // As it is written it can be read.
  auto again = testing::tiny_recipe("/data", {kTwoSources, kUl2});
  apply_override(again, "phase.one.objective.first_sentinel=15");
  EXPECT_EQ(run_config_json(read_run_config(again)).at("phase").at(0), phase);
}

TEST(PhaseObjective, IsRefusedWithTheLineOfItsKey) {
  EXPECT_THAT(message_of<ConfigError>(
                  [] { tiny_config("/data", {"phase.one.objective={kind = \"ul2\", inputs = 5, targets = 4}"}); }),
              HasSubstr("got phase.objective.targets = 4; need 3..3"));
  EXPECT_THAT(message_of<ConfigError>([] {
                tiny_config("/data", {"phase.one.data=[{name = \"a\", path = \"a\", objective = {kind = \"ul3\"}}]"});
              }),
              HasSubstr("'ul3'; need one of: causal"));
  EXPECT_THAT(message_of<ConfigError>([] {
                tiny_config("/data",
                            {"phase.two.replay={fraction = 0.5, data = [{name = \"c\", path = \"/c\", objective = "
                             "{kind = \"causal\", spans = 3}}]}"});
              }),
              HasSubstr("spans"));
}

// Each source of a mixture has its own; what is replayed keeps that of its phase, or of its record.
TEST(PhaseObjective, GoesWithTheSourcesThatAreDrawn) {
  const auto config =
      tiny_config("/data", {kTwoSources, kUl2, "phase.two.replay={fraction = 0.5, from = \"one\"}",
                            "phase.two.objective={kind = \"span_corruption\", inputs = 4, targets = 4}"});
  PhaseRecord record;
  record.name = "one";
  const auto draws = phase_draws(config, config.phases[1], {record});
  ASSERT_EQ(draws.data.size(), 1U);
  EXPECT_EQ(draws.data[0].objective->kind(), "span_corruption");
  ASSERT_EQ(draws.replay.size(), 2U);
  EXPECT_EQ(draws.replay[0].objective->kind(), "ul2");
  EXPECT_EQ(draws.replay[1].objective->kind(), "prefix_lm");

  const auto elsewhere = tiny_config(
      "/data", {"phase.one.start={from = \"/elsewhere\"}", "phase.two.replay={fraction = 0.5, from = \"theirs\"}"});
  record.name = "theirs";
  record.sources = {{.spec = {"old", "/elsewhere/old", 2.0, "w"}, .objective = Json::Object{{"kind", "prefix_lm"}}}};
  const auto theirs = phase_draws(elsewhere, elsewhere.phases[1], {record});
  EXPECT_EQ(theirs.replay[0].objective->kind(), "prefix_lm");
  EXPECT_EQ(theirs.data[0].objective->kind(), "causal");

  const auto own = tiny_config("/data", {"phase.two.replay={fraction = 0.5, data = [{name = \"c\", path = \"/c\"}]}",
                                         "phase.two.objective={kind = \"prefix_lm\"}"});
  EXPECT_EQ(phase_draws(own, own.phases[1], {}).replay[0].objective->kind(), "prefix_lm");  // that of the phase
}

TEST(PhaseObjective, RefusesASetThatItCannotDrawFrom) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_sets(folder);
  // The sets have all ids of 0 .. 15.
  EXPECT_THAT(message_of<DataError>([&] { InputData().open(tiny_config(folder.path(), {kUl2})); }),
              AllOf(HasSubstr("r.toml:"), HasSubstr("the sentinels of phase.objective.first_sentinel")));
  const auto wider = tiny_config(folder.path(), {"model.vocab_size=32", kUl2});
  EXPECT_NO_THROW(InputData().open(wider));
  EXPECT_THAT(message_of<DataError>([&] {
                InputData().open(tiny_config(folder.path(), {"phase.one.objective={kind = \"conversation\"}"}));
              }),
              HasSubstr("need one that 'evenkeel prepare --messages' made"));
}

// 160 tokens of text: sequences of 8 tokens whose examples take fewer are more of them.
TEST(PhaseObjective, SaysHowLongAnEpochIs) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_sets(folder);
  const auto steps = [&](const std::string& objective) {
    ConfigNode root = testing::tiny_recipe(folder.path(), {"model.vocab_size=32"});
    root.find("phase")->list()[0].erase("steps");
    apply_override(root, "phase.one.tokens=\"1 epoch\"");
    if (!objective.empty()) apply_override(root, "phase.one.objective=" + objective);
    const auto config = open_run_config(root);
    return config.phases[0].total_steps(config.train);
  };
  EXPECT_EQ(steps(""), 5);  // 20 sequences
  EXPECT_EQ(steps("{kind = \"prefix_lm\"}"), 5);
  // Three tokens of text are two, a sentinel and eos, and a sentinel, one and eos: seven of eight. Hence 54 sequences.
  EXPECT_EQ(steps("{kind = \"span_corruption\", inputs = 4, targets = 4}"), 14);
}

}  // namespace
}  // namespace evenkeel::train
