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

TEST(Ul2, MakesTheGoldenExamples) {
  const auto golden = testing::read_golden("objectives.json");
  const auto& cases = golden.inputs.at("ul2").as_array();
  for (size_t i = 0; i < cases.size(); ++i) {
    const Json& need = golden.outputs.at("ul2").at(i);
    Json table = cases[i].at("options");
    table["kind"] = "ul2";
    table["mixture"] = cases[i].at("mixture");
    const auto objective =
        make_objective(config_from_json(table, "golden"), {.sequence_length = 64, .vocab_size = 200});
    const ExampleId id{.seed = static_cast<uint64_t>(cases[i].at("seed").as_int()),
                       .number = cases[i].at("number").as_int()};
    Text text;
    text.tokens = integers_of(cases[i].at("text"));
    EXPECT_EQ(objective->text_tokens(id), static_cast<int64_t>(text.tokens.size())) << i;
    const auto example = objective->example(id, text);
    EXPECT_EQ(example.tokens, integers_of(need.at("tokens"))) << i;
    EXPECT_EQ(example.targets, integers_of(need.at("targets"))) << i;
    const Json* prefix = need.find("is_prefix");
    EXPECT_EQ(std::vector<int64_t>(example.is_prefix.begin(), example.is_prefix.end()),
              prefix != nullptr ? integers_of(*prefix) : std::vector<int64_t>{})
        << i;
  }
}

// A denoiser is known by the text that it takes. UL2's seventh takes 1,200 tokens: 1,020 of them, 3 sentinels and eos
// are 1,024 inputs.
TEST(Ul2, DrawsEachDenoiserAtItsRate) {
  const std::map<std::string, std::map<int64_t, double>> rates = {
      {"openmoe", {{1137, 0.1}, {1178, 0.1}, {1534, 0.1}, {1818, 0.1}, {2014, 0.1}, {1023, 0.5}}},
      {"ul2",
       {{1137, 2 / 15.0},
        {1178, 2 / 15.0},
        {1534, 2 / 15.0},
        {1818, 2 / 15.0},
        {1200, 2 / 15.0},
        {2014, 2 / 15.0},
        {1023, 0.2}}}};
  constexpr int64_t kDraws = 100'000;
  for (const auto& [mixture, expected] : rates) {
    const auto objective = objective_of("{kind = \"ul2\", mixture = \"" + mixture + "\"}", {2048, 33'000});
    std::map<int64_t, int64_t> drawn;
    for (int64_t number = 0; number < kDraws; ++number) ++drawn[objective->text_tokens({.seed = 3, .number = number})];
    EXPECT_EQ(drawn.size(), expected.size()) << mixture;
    for (const auto& [n_tokens, rate] : expected) {
      const double deviation = std::sqrt(kDraws * rate * (1 - rate));  // of a binomial; five of them are allowed
      EXPECT_NEAR(static_cast<double>(drawn[n_tokens]), kDraws * rate, 5 * deviation) << mixture << " " << n_tokens;
    }
  }
}

// The scored tokens of each denoiser at 1,024 inputs and targets: those published, and for S the rest of the text and
// eos, which is anything from 2 to 1,023 with a mean of 512.5 in OpenMoE's mixture, and a quarter in UL2's.
TEST(Ul2, ScoresTheSharesOfItsDenoisers) {
  const std::map<int64_t, int64_t> published = {{1137, 229}, {1178, 200}, {1534, 1024}, {1818, 1024}, {2014, 1024}};
  const auto n_scored = [](const Example& example) {
    return std::count_if(example.targets.begin(), example.targets.end(), [](int64_t target) { return target >= 0; });
  };
  for (const std::string mixture : {"openmoe", "ul2"}) {
    const auto objective = objective_of("{kind = \"ul2\", mixture = \"" + mixture + "\"}", {2048, 33'000});
    double sum = 0;
    int64_t n_cut = 0, least = 2000, most = 0;
    for (int64_t number = 0; number < 4000; ++number) {
      const ExampleId id{.seed = 3, .number = number};
      Text text;
      text.tokens.assign(static_cast<size_t>(objective->text_tokens(id)), 9);
      const int64_t scored = n_scored(objective->example(id, text));
      const auto need = published.find(objective->text_tokens(id));
      ASSERT_TRUE(need == published.end() || scored == need->second) << scored;
      if (objective->text_tokens(id) != 1023) continue;
      ++n_cut;
      sum += static_cast<double>(scored);
      least = std::min(least, scored);
      most = std::max(most, scored);
    }
    if (mixture == "ul2") {
      EXPECT_EQ(least, 257);  // round(0.25 * 1023) = 256, and eos
      EXPECT_EQ(most, 257);
      continue;
    }
    // Uniform on 1,022 values: a standard deviation of 295, hence five standard errors.
    EXPECT_NEAR(sum / static_cast<double>(n_cut), 512.5, 5 * 295 / std::sqrt(static_cast<double>(n_cut)));
    EXPECT_GE(least, 2);
    EXPECT_LE(most, 1023);
    EXPECT_LT(least, 20);  // of some 2,000 draws
    EXPECT_GT(most, 1005);
  }
}

TEST(Ul2, KnowsItsMixtures) {
  EXPECT_THAT(testing::message_of<ConfigError>([] {
                objective_of("{kind = \"ul2\", mixture = \"t5\"}", {.sequence_length = 64, .vocab_size = 200});
              }),
              ::testing::HasSubstr("got phase.objective.mixture = 't5'; need one of: openmoe, ul2"));
}

}  // namespace
}  // namespace evenkeel::data
