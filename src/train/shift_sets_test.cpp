#include "train/shift_sets.h"

#include <gtest/gtest.h>

#include "support/tiny_run.h"
#include "train/results.h"

namespace evenkeel::train {
namespace {

Arm arm_of(const std::vector<std::string>& overrides) {
  Arm arm;
  arm.resolved = run_config_json(testing::tiny_config("/data", overrides));
  return arm;
}

TEST(ReplayFractionOf, IsZeroWithoutReplay) {
  const auto fraction = [](const std::string& phase) { return replay_fraction_of(Json::parse(phase, "test")); };
  EXPECT_EQ(fraction(R"({})"), 0);
  EXPECT_EQ(fraction(R"({"replay": null})"), 0);
  EXPECT_EQ(fraction(R"({"replay": {"fraction": 0.25}})"), 0.25);
}

TEST(ShiftSets, NewIsWhatTheFirstPhaseDidNotHave) {
  const auto sets = [](const std::string& last, const std::string& evaluated = "") {
    std::vector<std::string> overrides = {
        "phase.one.data=[{name = \"en\", path = \"a\"}, {name = \"fr\", path = \"c\"}]",
        "phase.two.data=[" + last + "]"};
    if (!evaluated.empty())
      overrides.push_back("phase.two.eval={data = [{name = \"" + evaluated + "\", path = \"e\"}]}");
    const auto found = shift_sets(arm_of(overrides));
    return found.old_data + " " + found.new_data;
  };
  const std::string en = "{name = \"en\", path = \"a\"}", fr = ", {name = \"fr\", path = \"c\"}",
                    de = ", {name = \"de\", path = \"b\"}", es = ", {name = \"es\", path = \"d\"}";
  EXPECT_EQ(sets(en), "en en");
  EXPECT_EQ(sets(en + de), "en de");  // old and new data in the new phase
  EXPECT_EQ(sets(en + fr + de + es), "en de");
  EXPECT_EQ(sets(en + de + es, "es"), "en es");  // the one with a held-out set
  EXPECT_EQ(sets(en + de, "fr"), "fr de");
}

TEST(ShiftSets, AreFoundByNameByFileAndAsTheHeldOutPart) {
  const auto sets = [](const std::string& eval) {
    const auto found = arm_of({"phase.one.eval={data = [" + eval + "]}"});
    return shift_sets(found).old_data + " " + shift_sets(found).new_data + " | " + sets_without_evaluation(found);
  };
  EXPECT_EQ(sets("{name = \"b\", path = \"/x\"}, {name = \"a\", path = \"/y\"}"), "a b | ");
  EXPECT_EQ(sets("{name = \"old\", path = \"/data/a\"}, {name = \"new\", path = \"/data/b-heldout\"}"), "old new | ");
  EXPECT_EQ(sets("{name = \"old\", path = \"/data/a-heldout\"}, {name = \"other\", path = \"/data/c\"}"), "old b | b");
  EXPECT_EQ(sets("{name = \"other\", path = \"/data/c\"}"), "a b | a, b");
  const auto like = arm_of({"phase.one.data=[{name = \"en-new\", path = \"/data/x\"}]",
                            "phase.two.data=[{name = \"en\", path = \"/data/y\"}]"});
  EXPECT_EQ(sets_without_evaluation(like), "en, en-new");  // a name that is a part of the other
}

// A weight of 1e-9 is no training: what was drawn counts, or before the first step what would be.
TEST(ShiftSets, OfASourceThatIsNeverDrawnAreNone) {
  const std::string a = "{name = \"a\", path = \"/data/a\"", c = "{name = \"c\", path = \"/data/c\"";
  const std::vector<std::string> recipe = {
      "phase.one.data=[" + c + ", weight = 1e-9}, " + a + "}]",
      "phase.two.data=[" + a + ", weight = 1e-9}, " + c + "}]",
      "phase.one.eval={data = [{name = \"a\", path = \"/held/a\"}, {name = \"c\", path = \"/held/c\"}]}"};
  Arm arm = arm_of(recipe);
  const auto sets = [&] { return shift_sets(arm).old_data + " " + shift_sets(arm).new_data; };
  EXPECT_EQ(sets(), "a c");
  EXPECT_TRUE(trains_on(arm, 0, "a") && trains_on(arm, 1, "c"));
  EXPECT_FALSE(trains_on(arm, 0, "c") || trains_on(arm, 1, "a"));
  record::StepRow step;
  step.step = 1;
  step.phase = "one";
  step.phase_step = 1;
  step.sources = {{"c", 3}, {"a", 0}};
  add_line(arm, step);
  EXPECT_EQ(sets(), "c c");  // what was drawn, whatever the weights
  EXPECT_TRUE(trains_on(arm, 0, "c"));
  EXPECT_FALSE(trains_on(arm, 0, "a"));
}

TEST(ShiftSets, PhasesDrawTheSameWhereTheSourcesAndTheirSharesAreTheSame) {
  const auto same = [](const std::string& one, const std::string& two) {
    return draws_the_same(arm_of({"phase.one.data=[" + one + "]", "phase.two.data=[" + two + "]"}), 0, 1);
  };
  const auto source = [](const std::string& name, const std::string& weight) {
    return "{name = \"" + name + "\", path = \"/data/" + name + "\", weight = " + weight + "}";
  };
  EXPECT_TRUE(same(source("a", "1"), source("a", "0.3") + ", " + source("b", "1e-9")));  // of b comes none
  EXPECT_TRUE(same(source("a", "1") + ", " + source("b", "2"), source("b", "0.6") + ", " + source("a", "0.3")));
  EXPECT_FALSE(same(source("a", "1"), source("b", "1")));
  EXPECT_FALSE(same(source("a", "1") + ", " + source("b", "1"), source("a", "1") + ", " + source("b", "2")));
  EXPECT_FALSE(same(source("a", "1"), "{name = \"a\", path = \"/data/other\"}"));
}

// What results.json says of an arm: a set that nothing is known of has no name there.
TEST(ShiftSets, StandInTheResults) {
  const auto named = [](const std::string& eval) {
    const Json arm = arm_json(arm_of({"phase.one.eval={data = [" + eval + "]}"}), ".");
    return arm.at("old_data").dump() + " " + arm.at("new_data").dump();
  };
  EXPECT_EQ(named("{name = \"old\", path = \"/data/a-heldout\"}, {name = \"new\", path = \"/data/b-heldout\"}"),
            R"("old" "new")");
  EXPECT_EQ(named("{name = \"old\", path = \"/data/a-heldout\"}"), R"("old" null)");
}

// A run of one phase on trained weights: the set that it does not train on is what it may forget.
TEST(ShiftSets, OfAContinuedRunAreTheSetItDoesNotTrainOnAndTheOneItDoes) {
  Arm arm = arm_of(
      {"phase.one.eval={data = [{name = \"new\", path = \"/data/a-heldout\"}, {name = \"old\", path = \"/data/z\"}]}"});
  arm.resolved["phase"].as_array().resize(1);
  EXPECT_EQ(shift_sets(arm).old_data + " " + shift_sets(arm).new_data, "new new");
  arm.resolved["model"]["from"] = "runs/first";
  EXPECT_EQ(shift_sets(arm).old_data + " " + shift_sets(arm).new_data, "old new");
}

}  // namespace
}  // namespace evenkeel::train
