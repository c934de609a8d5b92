#include <algorithm>
#include <cmath>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/made_sets.h"

namespace evenkeel::data {
namespace {

using testing::integers_of;
using testing::objective_of;

TEST(PrefixLm, MakesTheGoldenExamples) {
  const auto golden = testing::read_golden("objectives.json");
  const auto& cases = golden.inputs.at("prefix_lm").as_array();
  for (size_t i = 0; i < cases.size(); ++i) {
    const Json& need = golden.outputs.at("prefix_lm").at(i);
    const bool sees_itself = cases[i].at("prefix_attention").as_bool();
    const auto objective = objective_of(
        std::string("{kind = \"prefix_lm\", prefix_attention = ") + (sees_itself ? "true}" : "false}"), {64, 200});
    Text text;
    text.tokens = integers_of(cases[i].at("text"));
    text.following = integers_of(cases[i].at("following"));
    const auto example = objective->example(
        {.seed = static_cast<uint64_t>(cases[i].at("seed").as_int()), .number = cases[i].at("number").as_int()}, text);
    EXPECT_EQ(example.tokens, integers_of(need.at("tokens"))) << i;
    EXPECT_EQ(example.targets, integers_of(need.at("targets"))) << i;
    const Json* prefix = need.find("is_prefix");
    EXPECT_EQ(std::vector<int64_t>(example.is_prefix.begin(), example.is_prefix.end()),
              prefix != nullptr ? integers_of(*prefix) : std::vector<int64_t>{})
        << i;
    EXPECT_EQ(objective->needs_masks(), sees_itself);
    EXPECT_EQ(objective->text_tokens({}), 64);
  }
}

TEST(PrefixLm, HasAPrefixOfEachLengthAsOften) {
  constexpr int64_t kLength = 9, kDraws = 80'000;
  const auto objective = objective_of("{kind = \"prefix_lm\", prefix_attention = true}", {kLength, 200});
  const Text text{.tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9}, .following = {2, 3, 4, 5, 6, 7, 8, 9, 10}};
  std::map<int64_t, int64_t> drawn;
  for (int64_t number = 0; number < kDraws; ++number) {
    const auto example = objective->example({.seed = 2, .number = number}, text);
    const auto prefix = std::count(example.is_prefix.begin(), example.is_prefix.end(), true);
    ASSERT_EQ(std::count(example.targets.begin(), example.targets.end(), -1), prefix - 1);
    ++drawn[prefix];
  }
  ASSERT_EQ(drawn.size(), 8U);
  EXPECT_EQ(drawn.begin()->first, 1);
  EXPECT_EQ(drawn.rbegin()->first, kLength - 1);
  for (const auto& [prefix, count] : drawn)
    EXPECT_NEAR(static_cast<double>(count), 10'000, 5 * std::sqrt(kDraws * 7.0 / 64)) << prefix;  // five deviations
}

TEST(PrefixLm, KeepsTheDocumentsOfItsText) {
  const auto objective = objective_of("{kind = \"prefix_lm\"}", {3, 200});
  const auto example = objective->example({}, {.tokens = {1, 2, 3}, .following = {2, 3, 4}, .documents = {0, 1, 1}});
  EXPECT_EQ(example.document_ids, (std::vector<int32_t>{0, 1, 1}));
  EXPECT_FALSE(objective->packs());
}

TEST(PrefixLm, NeedsTwoTokens) {
  EXPECT_THAT(testing::message_of<ConfigError>([] {
                objective_of("{kind = \"prefix_lm\"}", {1, 200});
              }),
              ::testing::HasSubstr("with train.sequence_length = 1; need at least 2"));
}

}  // namespace
}  // namespace evenkeel::data
