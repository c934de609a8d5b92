#include "train/scoring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
using testing::tiny_config;

std::string sets(const std::string& phase, const std::string& objective, const std::string& name = "held") {
  return "phase." + phase + ".eval={data = [{name = \"" + name + "\", path = \"/data/a-heldout\"" +
         (objective.empty() ? "" : ", objective = " + objective) + "}]}";
}

TEST(EvalObjective, IsThatOfTheSetAndNotOfThePhase) {
  const auto config = tiny_config("/data", {"phase.one.objective={kind = \"prefix_lm\"}", sets("one", "")});
  EXPECT_EQ(scoring_objective(config, config.phases[0].eval->data[0]), nullptr);
  const auto other = tiny_config("/data", {sets("one", "{kind = \"prefix_lm\"}")});
  EXPECT_EQ(scoring_objective(other, other.phases[0].eval->data[0])->kind(), "prefix_lm");
  // One that names causal is scored like one that names nothing.
  const auto causal = tiny_config("/data", {sets("one", "{kind = \"causal\"}")});
  EXPECT_EQ(scoring_objective(causal, causal.phases[0].eval->data[0]), nullptr);
}

TEST(EvalObjective, IsWrittenWithEveryOption) {
  const auto written = [](const std::string& objective) {
    return run_config_json(tiny_config("/data", {sets("one", objective)}))
        .at("phase")
        .at(0)
        .at("eval")
        .at("data")
        .at(0)
        .at("objective");
  };
  EXPECT_EQ(written("").dump(), R"({"kind":"causal"})");
  EXPECT_EQ(written("{kind = \"causal\"}").dump(), R"({"kind":"causal"})");
  EXPECT_EQ(written("{kind = \"prefix_lm\"}").at("prefix_attention"), Json(false));
}

TEST(EvalObjective, NamesWhatCannotBe) {
  EXPECT_THAT(message_of<ConfigError>([] { tiny_config("/data", {sets("one", "{kind = \"ul3\"}")}); }),
              HasSubstr("'ul3'; need one of: causal"));
  EXPECT_THAT(message_of<ConfigError>([] { tiny_config("/data", {sets("one", "{kind = \"causal\", x = 1}")}); }),
              HasSubstr("unknown key 'phase.objective.x'"));
  EXPECT_THAT(message_of<ConfigError>([] { tiny_config("/data", {sets("one", "\"causal\"")}); }),
              HasSubstr("a table such as"));
}

// What a run says of a set it says under its name: losses of one name are of one objective.
TEST(EvalObjective, IsOneForAName) {
  const std::string prefix = "{kind = \"prefix_lm\"}";
  EXPECT_THAT(message_of<ConfigError>([&] {
                tiny_config("/data", {sets("one", prefix), sets("two", "")});
              }),
              AllOf(HasSubstr("got phase.two.eval.data with 'held' scored by {\"kind\":\"causal\"}"),
                    HasSubstr("which phase 'one' scores by {\"kind\":\"prefix_lm\""), HasSubstr("need another name")));
  ScoringCheck arms;
  arms.add(tiny_config("/data", {sets("one", "")}), "a");
  arms.add(tiny_config("/data", {sets("one", "{kind = \"causal\"}")}), "b");
  EXPECT_THAT(message_of<ConfigError>([&] { arms.add(tiny_config("/data", {sets("one", prefix)}), "c"); }),
              AllOf(HasSubstr("of arm 'c', which phase 'one' of arm 'a' scores by"), HasSubstr("need another name")));
  EXPECT_NO_THROW(tiny_config("/data", {sets("one", prefix), sets("two", prefix)}));
  EXPECT_NO_THROW(tiny_config("/data", {sets("one", prefix), sets("two", "", "held-causal")}));
}

// The sentinels that nobody names are the last ids of each model.
TEST(EvalObjective, IsOneForAVocabularyOfEachArm) {
  const auto arm = [](const std::string& vocabulary, const std::string& more = "") {
    return tiny_config("/data", {"model.vocab_size=" + vocabulary,
                                 sets("one", "{kind = \"span_corruption\", inputs = 5, targets = 3" + more + "}")});
  };
  ScoringCheck arms;
  arms.add(arm("64"), "a");
  EXPECT_NO_THROW(arms.add(arm("80"), "b"));
  EXPECT_NO_THROW(arms.add(arm("80", ", first_sentinel = 63"), "c"));
  EXPECT_THAT(message_of<ConfigError>([&] { arms.add(arm("80", ", first_sentinel = 62"), "d"); }),
              AllOf(HasSubstr("\"first_sentinel\":62"), HasSubstr("of arm 'd'"), HasSubstr("\"first_sentinel\":63")));
}

TEST(NeedsMasks, OfAnyObjectiveOfTheRecipe) {
  const auto needs = [](const std::string& override) { return needs_masks(tiny_config("/data", {override})); };
  const std::string seen = "{kind = \"prefix_lm\", prefix_attention = true}";
  EXPECT_FALSE(needs_masks(tiny_config("/data")));
  EXPECT_FALSE(needs("phase.one.objective={kind = \"prefix_lm\"}"));
  EXPECT_TRUE(needs("phase.two.objective=" + seen));
  EXPECT_TRUE(needs("phase.two.data=[{name = \"b\", path = \"/data/b\", objective = " + seen + "}]"));
  EXPECT_TRUE(needs("phase.two.replay={fraction = 0.5, data = [{name = \"a\", path = \"/data/a\", objective = " + seen +
                    "}]}"));
  EXPECT_TRUE(needs(sets("two", seen, "seen")));
  EXPECT_TRUE(trains_with_masks(tiny_config("/data", {"phase.two.objective=" + seen})));
  EXPECT_FALSE(trains_with_masks(tiny_config("/data", {sets("two", seen, "seen")})));
}

}  // namespace
}  // namespace evenkeel::train
