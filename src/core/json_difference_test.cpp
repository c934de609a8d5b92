#include "core/json_difference.h"

#include <cmath>

#include <gtest/gtest.h>

namespace evenkeel {
namespace {

std::string difference(const char* got, const char* needed) {
  return first_difference(Json::parse(got, "got"), Json::parse(needed, "needed")).value_or("none");
}

TEST(FirstDifference, NamesThePathOfAValue) {
  EXPECT_EQ(difference(R"({"a": [1, {"b": 2.5}], "c": "x"})", R"({"a": [1, {"b": 2.25}], "c": "y"})"),
            "a[1].b: got 2.5; need 2.25");
  EXPECT_EQ(difference(R"({"a": null})", R"({"a": "x"})"), "a: got null; need \"x\"");
  EXPECT_EQ(difference(R"({"a": {}})", R"({"a": []})"), "a: got {}; need []");
}

TEST(FirstDifference, NamesWhatIsMissingOrTooMuch) {
  EXPECT_EQ(difference(R"({"a": {}})", R"({"a": {"b": 1}})"), "a.b: got nothing; need 1");
  EXPECT_EQ(difference(R"({"a": {"b": 1}})", R"({"a": {}})"), "a.b: got 1; need no such key");
  EXPECT_EQ(difference(R"({"a": [1, 2]})", R"({"a": [1, 2, 3]})"), "a: got an array of 2; need one of 3");
}

TEST(FirstDifference, IsNoneWhateverTheOrderOfKeys) {
  EXPECT_EQ(difference(R"({"a": 1, "b": [2]})", R"({"b": [2], "a": 1})"), "none");
}

TEST(FirstDifference, IsNoneWithinTheRoundingOfAnotherMachine) {
  EXPECT_EQ(difference("[2.5000000001, 1e-12, 123456.7]", "[2.5, 0, 123456.70000001]"), "none");
  EXPECT_EQ(difference("[1]", "[0.9999999999999999]"), "none");  // the same sum, rounded to a whole number
  EXPECT_EQ(difference("[2.50001]", "[2.5]"), "[0]: got 2.50001; need 2.5");
  EXPECT_EQ(difference("[0.5]", "[\"0.5\"]"), "[0]: got 0.5; need \"0.5\"");
}

TEST(IsNear, IsRelativeFromOneOnAndAbsoluteBelow) {
  EXPECT_TRUE(is_near(1e6 + 5e-4, 1e6));
  EXPECT_FALSE(is_near(1e6 + 5e-3, 1e6));
  EXPECT_TRUE(is_near(5e-10, 0));
  EXPECT_FALSE(is_near(5e-9, 0));
  EXPECT_FALSE(is_near(std::nan(""), 0));
}

TEST(FirstDifference, IsOfEveryIntegerHoweverLarge) {
  EXPECT_EQ(difference("[9007199254740993]", "[9007199254740992]"), "[0]: got 9007199254740993; need 9007199254740992");
}

TEST(FirstDifference, CutsLongValuesBetweenCharacters) {
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "ä";
  const auto text = first_difference(Json("x" + umlauts), Json(1));
  ASSERT_TRUE(text.has_value());
  EXPECT_EQ(*text, ": got \"x" + umlauts.substr(0, 118) + "…; need 1");
}

}  // namespace
}  // namespace evenkeel
