#include "data/objectives/denoising.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/made_sets.h"

namespace evenkeel::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
using testing::objective_of;

constexpr ObjectivePlace kPlace{.sequence_length = 64, .vocab_size = 200};

std::string refusal(const std::string& keys, const ObjectivePlace& place = kPlace) {
  return message_of<ConfigError>([&] { objective_of("{kind = \"ul2\", " + keys + "}", place); });
}

// Tokens of text and of targets at 1,024 inputs and 1,024 targets, as OpenMoE's code has them.
TEST(Denoising, TakesAsMuchTextAsPublished) {
  struct Published {
    double mean_span, density;
    int64_t n_tokens, n_targets;
  };
  DenoisingOptions options;
  options.inputs = options.targets = 1024;
  for (const auto& need : {Published{3, 0.15, 1137, 229}, Published{8, 0.15, 1178, 200}, Published{3, 0.5, 1534, 1024},
                           Published{8, 0.5, 1818, 1024}, Published{64, 0.5, 2014, 1024}}) {
    const Denoiser denoiser{.mode = DenoiserMode::X, .mean_span = need.mean_span, .density = need.density};
    EXPECT_EQ(longest_text(denoiser, options), need.n_tokens) << need.mean_span << " " << need.density;
    const auto objective = make_denoising({2048, 32'000}, {.options = {{"kind", "x"}}, .denoisers = {denoiser}},
                                          options, config_table("defaults"));
    Text text;
    text.tokens.assign(static_cast<size_t>(need.n_tokens), 7);
    const auto example = objective->example({}, text);
    EXPECT_EQ(std::count_if(example.targets.begin(), example.targets.end(), [](int64_t id) { return id >= 0; }),
              need.n_targets);
    EXPECT_EQ(example.tokens.size(), static_cast<size_t>(1024 + need.n_targets));
    EXPECT_EQ(objective->length({}, need.n_tokens), 1024 + need.n_targets);
  }
  EXPECT_EQ(longest_text({.mode = DenoiserMode::S}, options), 1023);
  options.prompts.X = {5, 6, 7};
  options.prompts.S = {8};
  EXPECT_EQ(longest_text({.mode = DenoiserMode::S}, options), 1022);
  EXPECT_EQ(longest_text({.mode = DenoiserMode::X, .mean_span = 3, .density = 0.15}, options), 1133);  // 170 in 57
}

TEST(Denoising, CompletesItsOptionsFromTheSequence) {
  const Json options = objective_of("{kind = \"ul2\"}", kPlace)->options();
  EXPECT_EQ(options.dump(), R"({"kind":"ul2","mixture":"openmoe","inputs":32,"targets":32,"first_sentinel":199,)"
                            R"("prompts":{"R":[],"X":[],"S":[]},"bos":0,"eos":1,"prefix_attention":false})");
  const Json part = objective_of("{kind = \"ul2\", inputs = 40}", kPlace)->options();
  EXPECT_EQ(part.at("targets").as_int(), 24);
}

TEST(Denoising, PacksAndNeedsMasks) {
  const auto objective = objective_of("{kind = \"ul2\"}", kPlace);
  EXPECT_TRUE(objective->packs());
  EXPECT_TRUE(objective->needs_masks());
  EXPECT_EQ(objective->least_text_tokens(), 2);
}

// Whatever is drawn, an example is as long as announced, has no more than it may, and gives its text back.
TEST(Denoising, GivesItsTextBack) {
  for (const std::string mixture : {"openmoe", "ul2"}) {
    const auto objective = objective_of("{kind = \"ul2\", mixture = \"" + mixture +
                                            "\", inputs = 30, targets = 20, prompts = {R = [3], X = [4, 5], S = [6]}}",
                                        kPlace);
    for (int64_t number = 0; number < 300; ++number) {
      const ExampleId id{.seed = 4, .number = number};
      Text text;
      for (int64_t i = 0; i < objective->text_tokens(id); ++i) text.tokens.push_back(20 + i);
      const auto example = objective->example(id, text);
      const auto n_tokens = static_cast<int64_t>(example.tokens.size());
      ASSERT_EQ(n_tokens, objective->length(id, objective->text_tokens(id)));
      const auto first_target =
          std::find_if(example.targets.begin(), example.targets.end(), [](int64_t target) { return target >= 0; }) -
          example.targets.begin();
      EXPECT_LE(first_target, 30);
      EXPECT_LE(n_tokens - first_target, 20);
      EXPECT_EQ(example.targets.back(), 1);                             // eos
      EXPECT_EQ(example.tokens[static_cast<size_t>(first_target)], 1);  // and behind the inputs
      EXPECT_TRUE(example.tokens[0] == 0 && example.tokens[1] >= 3 && example.tokens[1] <= 6);
      std::multiset<int64_t> found;
      const auto add = [&](int64_t token) {
        if (token >= 20 && token < 150) found.insert(token);
      };
      for (int64_t i = 0; i <= first_target; ++i) add(example.tokens[static_cast<size_t>(i)]);
      for (int64_t i = first_target; i < n_tokens; ++i) add(example.targets[static_cast<size_t>(i)]);
      EXPECT_EQ(found, std::multiset<int64_t>(text.tokens.begin(), text.tokens.end())) << mixture << " " << number;
      EXPECT_EQ(objective->example(id, text).tokens, example.tokens);  // a pure function
    }
  }
}

TEST(Denoising, RefusesIdsThatTheModelHasNot) {
  EXPECT_THAT(refusal("first_sentinel = 200"),
              AllOf(HasSubstr("r.toml:1"), HasSubstr("got phase.objective.first_sentinel = 200; need 7..199")));
  // Of 46 tokens 23 are noise in 8 spans of about three: 23 + 8 + 1 = 32 inputs.
  EXPECT_THAT(refusal("first_sentinel = 5"), HasSubstr("got phase.objective.first_sentinel = 5; need 7..199"));
  EXPECT_THAT(refusal("first_sentinel = -1"), HasSubstr("got phase.objective.first_sentinel = -1; need"));
  EXPECT_THAT(refusal("bos = 200"), HasSubstr("got phase.objective.bos = 200; need 0..199"));
  EXPECT_THAT(refusal("eos = -1"), HasSubstr("got phase.objective.eos = -1; need 0..199"));
  EXPECT_THAT(refusal("prompts = {X = [4, 200]}"), HasSubstr("got phase.objective.prompts.X = 200; need 0..199"));
  EXPECT_THAT(refusal("eos = 199"), HasSubstr("got phase.objective.eos = 199; need none of 192..199"));
  EXPECT_THAT(refusal("prompts = {S = [198]}"), HasSubstr("got phase.objective.prompts.S = 198; need none of "));
  EXPECT_THAT(refusal("prompts = {T = [3]}"), HasSubstr("phase.objective.prompts"));
}

TEST(Denoising, RefusesLengthsThatDoNotFit) {
  EXPECT_THAT(refusal("inputs = 40, targets = 40"),
              AllOf(HasSubstr("got phase.objective.targets = 40; need 3..24"), HasSubstr("train.sequence_length")));
  EXPECT_THAT(refusal("inputs = 65"), HasSubstr("got phase.objective.inputs = 65; need 3..61"));
  EXPECT_THAT(refusal("inputs = 2"), HasSubstr("got phase.objective.inputs = 2; need 3..61"));
  EXPECT_THAT(refusal("inputs = 62"), HasSubstr("got phase.objective.inputs = 62; need 3..61"));  // leaves 2 targets
  EXPECT_THAT(refusal("inputs = 4, prompts = {R = [5, 6]}"), HasSubstr("got phase.objective.inputs = 4; need 5..61"));
  EXPECT_THAT(refusal("targets = 2"), HasSubstr("got phase.objective.targets = 2; need 3..32"));
  EXPECT_THAT(refusal("bos = 0", {.sequence_length = 4, .vocab_size = 200}),
              HasSubstr("train.sequence_length = 4; need at least 6"));
}

TEST(Denoising, RefusesASetThatHasItsSentinels) {
  const testing::TemporaryFolder folder;
  const auto set = [&](const std::string& name, const std::vector<int32_t>& ids) {
    return IndexedDataset::open(testing::write_documents(folder, name, {ids}, 200));
  };
  const auto objective = objective_of("{kind = \"span_corruption\", first_sentinel = 120}", kPlace);
  EXPECT_NO_THROW(objective->check_set(set("below", {5, 6, 7}), "r.toml:9"));
  EXPECT_NO_THROW(objective->check_set(set("around", {5, 100, 121, 199}), "r.toml:9"));  // none of those between
  EXPECT_THAT(message_of<DataError>([&] {
                objective->check_set(set("with", {5, 121, 119, 6}), "r.toml:9");
              }),
              AllOf(HasSubstr("r.toml:9: got "), HasSubstr("with with id 119 at token 2; need none of "),
                    HasSubstr("..120, the sentinels of phase.objective.first_sentinel")));
}

}  // namespace
}  // namespace evenkeel::data
