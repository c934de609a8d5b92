#include "train/objective_words.h"

#include <gtest/gtest.h>

namespace evenkeel::train {
namespace {

std::string words(const std::string& phase) { return objective_words(Json::parse(phase, "phase")); }

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
