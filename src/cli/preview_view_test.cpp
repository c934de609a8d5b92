#include "cli/preview_view.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/terminal_text.h"

namespace evenkeel::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::shared_ptr<const data::Objective> objective(const std::string& toml, int64_t sequence_length = 32) {
  const auto table = parse_toml("o = " + toml, "r.toml", "");
  return data::make_objective(*table.find("o"), {.sequence_length = sequence_length, .vocab_size = 100});
}

at::Tensor row(const std::vector<int64_t>& ids) { return at::tensor(ids, at::kLong).unsqueeze(0); }

train::PreviewedSequence sequence_of(const data::Objective& objective, const std::vector<int64_t>& tokens,
                                     const std::vector<int64_t>& targets) {
  train::PreviewedSequence out;
  out.source = "en";
  out.objective = &objective;
  out.batch.tokens = row(tokens);
  out.batch.targets = row(targets);
  return out;
}

// Two packed examples of sentinels from 99 down: 0 is bos, 1 eos, 90 a prompt, 0 padding at the end.
train::PreviewedSequence packed_pair(const data::Objective& objective) {
  auto out = sequence_of(objective, {0, 90, 10, 11, 99, 1, 99, 12, 98, 0, 20, 99, 1, 99, 21, 0},
                         {-1, -1, -1, -1, -1, 99, 12, 98, 1, -1, -1, -1, 99, 21, 1, -1});
  out.batch.document_ids = row({0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2}).to(at::kInt);
  out.batch.is_padding = at::arange(16).unsqueeze(0).eq(15);
  return out;
}
constexpr const char* kUl2 = "{kind = \"ul2\", first_sentinel = 99, prompts = {R = [90], X = [90, 10], S = []}}";

TEST(SequenceJson, HasTheListsOfTheContract) {
  const auto causal = objective("{kind = \"causal\"}");
  const TokenTexts numbers(nullptr);
  EXPECT_EQ(
      sequence_json(sequence_of(*causal, {5, 6, 7}, {6, 7, 8}), numbers).dump(),
      R"({"source":"en","objective":"causal","tokens":[5,6,7],"targets":[6,7,8],"document_ids":null,"text":null})");
  const auto ul2 = objective(kUl2);
  const Json json = sequence_json(packed_pair(*ul2), numbers);
  EXPECT_EQ(json.at("objective"), Json("ul2"));
  EXPECT_EQ(json.at("document_ids").size(), 16u);
  EXPECT_EQ(json.at("document_ids").at(9).as_int(), 1);
  EXPECT_EQ(json.at("targets").at(15).as_int(), -1);
}

TEST(SequenceView, MarksWhatIsScoredPromptsAndSentinels) {
  const auto ul2 = objective(kUl2);
  const std::string view = sequence_view(3, packed_pair(*ul2), TokenTexts(nullptr), {});
  EXPECT_EQ(view,
            "sequence 3  source en  ul2  2 examples  15 tokens, 7 scored  1 of padding\n"
            // 90, 10 is a prompt too, the longer one
            "  1  0 ⟨90 10 ⟩11 <0>1 ⟦<0>12 <1>1 ⟧\n"
            "  2  0 20 <0>1 ⟦<0>21 1 ⟧\n");
}

TEST(SequenceView, OfCausalTextIsScoredBehindItsFirstToken) {
  const auto causal = objective("{kind = \"causal\"}");
  const TokenTexts numbers(nullptr);
  EXPECT_EQ(sequence_view(1, sequence_of(*causal, {5, 6, 7}, {6, 7, 8}), numbers, {}),
            "sequence 1  source en  causal  3 tokens, 3 scored\n     5 ⟦6 7 8 ⟧\n");
  // Where the text goes on elsewhere, what was asked for stands without being fed.
  EXPECT_THAT(sequence_view(1, sequence_of(*causal, {5, 6, 30}, {6, 7, 31}), numbers, {}),
              HasSubstr("     5 ⟦6 7 ⟧¦30 ⟦31 ⟧\n"));
  auto apart = sequence_of(*causal, {5, 6, 30}, {6, 30, 31});
  apart.batch.document_ids = row({0, 0, 1});
  EXPECT_THAT(sequence_view(1, apart, numbers, {}),
              HasSubstr("2 documents  3 tokens, 3 scored\n  1  5 ⟦6 30 ⟧\n  2  30 ⟦31 ⟧\n"));
}

TEST(SequenceView, HasColoursInPlaceOfMarks) {
  const auto ul2 = objective(kUl2);
  const std::string view = sequence_view(1, packed_pair(*ul2), TokenTexts(nullptr), {.has_colours = true});
  EXPECT_THAT(view, Not(HasSubstr("⟦")));
  EXPECT_THAT(view, HasSubstr("\033[36m90 \033[0m"));    // prompt
  EXPECT_THAT(view, HasSubstr("\033[35m<0>\033[0m"));    // sentinel
  EXPECT_THAT(view, HasSubstr("\033[1;32m12 \033[0m"));  // scored
  EXPECT_THAT(view_legend({.has_colours = true}), HasSubstr("\033[1;32mscored\033[0m"));
  EXPECT_THAT(view_legend({}), HasSubstr("⟦scored⟧"));
  EXPECT_THAT(view_legend({}), Not(HasSubstr("\033")));
}

TEST(SequenceView, KeepsToTheWidth) {
  const auto causal = objective("{kind = \"causal\"}", 64);
  std::vector<int64_t> tokens, targets;
  for (int64_t i = 0; i < 64; ++i) {
    tokens.push_back(i);
    targets.push_back(i % 3 == 0 ? -1 : i + 1);
  }
  const auto sequence = sequence_of(*causal, tokens, targets);
  const TokenTexts numbers(nullptr);
  std::string whole;  // whatever the width, the same is said
  for (const int64_t columns : {200, 40, 20}) {
    const std::string view = sequence_view(1, sequence, numbers, {.columns = columns});
    std::string joined;
    size_t begin = view.find('\n') + 1;
    for (size_t end; (end = view.find('\n', begin)) != std::string::npos; begin = end + 1) {
      const std::string line = view.substr(begin, end - begin);
      EXPECT_LE(count_columns(line), columns) << line;
      joined += line.substr(5);
    }
    if (whole.empty()) whole = joined;
    EXPECT_EQ(joined, whole) << columns;
  }
}

}  // namespace
}  // namespace evenkeel::cli
