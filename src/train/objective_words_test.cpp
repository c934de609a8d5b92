#include "train/objective_words.h"

#include <gtest/gtest.h>

namespace evenkeel::train {
namespace {

std::string words(const std::string& phase) { return objective_words(Json::parse("[" + phase + "]", "phases"), 0); }

TEST(ObjectiveWords, NameEachKindOfAPhaseOnce) {
  EXPECT_EQ(words(R"({"objective": {"kind": "ul2", "inputs": 8}, "data": [{"name": "a"}]})"), "ul2");
  EXPECT_EQ(words(R"({"data": [{"name": "a"}]})"), "causal");  // of an earlier version
  EXPECT_EQ(words(R"({"objective": {"kind": "ul2"}})"), "ul2");
  EXPECT_EQ(words(R"({"objective": {"kind": "causal"}, "data": [{"name": "a", "objective": null},
                      {"name": "b", "objective": {"kind": "ul2"}}, {"name": "c", "objective": {"kind": "causal"}}]})"),
            "causal, ul2");
  EXPECT_EQ(words(R"({"objective": {"kind": "ul2"}, "data": [{"name": "b", "objective": {"kind": "conversation"}}]})"),
            "conversation");
}

TEST(ObjectiveWords, HaveWhatIsReplayed) {
  const auto second = [](const std::string& replay) {
    const std::string first = R"({"name": "one", "objective": {"kind": "ul2"}, "data": [{"name": "a"}]})";
    const Json phases =
        Json::parse("[" + first + R"(, {"name": "two", "data": [{"name": "b"}], "replay": )" + replay + "}]", "phases");
    return objective_words(phases, 1);
  };
  EXPECT_EQ(second(R"({"fraction": 0.25, "from": "one", "data": []})"), "causal, ul2");  // which keeps its own
  EXPECT_EQ(second(R"({"fraction": 0.0, "from": "one", "data": []})"), "causal");
  EXPECT_EQ(second(R"({"fraction": 0.25, "from": "elsewhere", "data": []})"), "causal");
  EXPECT_EQ(second(R"({"fraction": 0.25, "from": "", "data": [{"name": "c"}]})"), "causal");
  EXPECT_EQ(second(R"({"fraction": 0.25, "from": "", "data": [{"name": "c", "objective": {"kind": "ul2"}}]})"),
            "causal, ul2");
  EXPECT_EQ(second("null"), "causal");
}

TEST(ObjectiveWords, OfAHeldOutSetAreItsOwn) {
  const Json phase = Json::parse(
      R"({"objective": {"kind": "ul2"}, "eval": {"data": [{"name": "a"}, {"name": "b", "objective": {"kind": "ul2"}}]}})",
      "phase");
  EXPECT_EQ(eval_objective(phase, "a"), "causal");  // whatever the phase trains by
  EXPECT_EQ(eval_objective(phase, "b"), "ul2");
  EXPECT_EQ(eval_objective(Json::parse("{}", "phase"), "a"), "causal");
}

}  // namespace
}  // namespace evenkeel::train
