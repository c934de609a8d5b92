#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden/golden.h"
#include "support/made_sets.h"

namespace evenkeel::data {
namespace {

using ::testing::HasSubstr;
using testing::integers_of;
using testing::message_of;
using testing::objective_of;

constexpr ObjectivePlace kPlace{.sequence_length = 64, .vocab_size = 200};

TEST(SpanCorruption, MakesTheGoldenExamples) {
  const auto golden = testing::read_golden("objectives.json");
  const auto& cases = golden.inputs.at("span_corruption").as_array();
  for (size_t i = 0; i < cases.size(); ++i) {
    const Json& need = golden.outputs.at("span_corruption").at(i);
    Json table = cases[i].at("options");
    table["kind"] = "span_corruption";
    for (const char* key : {"mean_span", "density"}) table[key] = cases[i].at(key);
    const auto objective = make_objective(config_from_json(table, "golden"), kPlace);
    const ExampleId id{.seed = static_cast<uint64_t>(cases[i].at("seed").as_int()),
                       .number = cases[i].at("number").as_int()};
    EXPECT_EQ(objective->text_tokens(id), need.at("text_tokens").as_int()) << i;
    Text text;
    text.tokens = integers_of(cases[i].at("text"));
    const auto example = objective->example(id, text);
    EXPECT_EQ(example.tokens, integers_of(need.at("tokens"))) << i;
    EXPECT_EQ(example.targets, integers_of(need.at("targets"))) << i;
    const Json* prefix = need.find("is_prefix");
    EXPECT_EQ(std::vector<int64_t>(example.is_prefix.begin(), example.is_prefix.end()),
              prefix != nullptr ? integers_of(*prefix) : std::vector<int64_t>{})
        << i;
    EXPECT_EQ(objective->length(id, static_cast<int64_t>(text.tokens.size())),
              static_cast<int64_t>(example.tokens.size()));
  }
}

TEST(SpanCorruption, MasksDifferByDraw) {
  const auto objective = objective_of("{kind = \"span_corruption\"}", kPlace);
  Text text;
  for (int64_t i = 0; i < objective->text_tokens({}); ++i) text.tokens.push_back(i);
  const auto tokens = [&](uint64_t seed, int64_t number, int64_t epoch) {
    return objective->example({seed, number, epoch}, text).tokens;
  };
  EXPECT_NE(tokens(1, 0, 0), tokens(1, 1, 0));
  EXPECT_NE(tokens(1, 0, 0), tokens(2, 0, 0));
  EXPECT_EQ(tokens(1, 0, 0), tokens(1, 0, 5));  // numbers go on from epoch to epoch
}

// UL2 calls spans of 12 tokens or more, or a share of 0.3 or more, extreme.
TEST(SpanCorruption, TakesThePromptOfItsKind) {
  const auto prompt_of = [](const std::string& keys, const std::string& prompt) {
    const auto objective =
        objective_of("{kind = \"span_corruption\", prompts = {" + prompt + "}, " + keys + "}", kPlace);
    Text text;
    text.tokens.assign(static_cast<size_t>(objective->text_tokens({})), 50);
    return objective->example({}, text).tokens[1];
  };
  EXPECT_EQ(prompt_of("mean_span = 3", "R = [11]"), 11);
  EXPECT_EQ(prompt_of("mean_span = 11.9, density = 0.29", "R = [11], X = []"), 11);
  EXPECT_EQ(prompt_of("mean_span = 12", "X = [12]"), 12);
  EXPECT_EQ(prompt_of("density = 0.3", "X = [12]"), 12);
  const auto refusal = [&](const std::string& keys, const std::string& prompt) {
    return message_of<ConfigError>([&] { prompt_of(keys, prompt); });
  };
  EXPECT_THAT(refusal("mean_span = 3", "R = [11], S = [13]"),
              HasSubstr("got phase.objective.prompts.S = 13; need none: this objective has no examples of that mode"));
  EXPECT_THAT(refusal("mean_span = 3", "X = [12]"), HasSubstr("got phase.objective.prompts.X = 12; need none"));
  EXPECT_THAT(refusal("mean_span = 12", "R = [11]"), HasSubstr("got phase.objective.prompts.R = 11; need none"));
}

TEST(SpanCorruption, RefusesWhatLeavesNoSpans) {
  const auto refusal = [](const std::string& keys) {
    return message_of<ConfigError>([&] { objective_of("{kind = \"span_corruption\", " + keys + "}", kPlace); });
  };
  for (const std::string value : {"0", "0.0", "1", "1.5", "-0.1"})
    EXPECT_THAT(refusal("density = " + value), HasSubstr("need more than 0 and less than 1")) << value;
  for (const std::string value : {"0", "0.99", "-3"})
    EXPECT_THAT(refusal("mean_span = " + value), HasSubstr("; need 1 or more")) << value;
  EXPECT_THAT(refusal("density = 2"), HasSubstr("got phase.objective.density = 2; need"));
  EXPECT_THAT(refusal("mixture = \"ul2\""), HasSubstr("mixture"));
}

}  // namespace
}  // namespace evenkeel::data
