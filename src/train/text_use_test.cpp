#include "train/text_use.h"

#include <gtest/gtest.h>

#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

constexpr int64_t S = 8, kVocabulary = 64;

std::shared_ptr<const data::Objective> objective(const std::string& toml) {
  const auto table = parse_toml("o = " + toml, "r.toml", "");
  return data::make_objective(*table.find("o"), {.sequence_length = S, .vocab_size = kVocabulary});
}

TEST(TextUse, OfOneSampleASequenceIsTheSample) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "a", 161));
  for (const char* kind : {"{kind = \"causal\"}", "{kind = \"prefix_lm\"}"}) {
    const auto use = text_use(dataset, *objective(kind), {S, kVocabulary, 1}, true);
    EXPECT_EQ(use.tokens, 8);
    EXPECT_FALSE(use.is_estimate);
  }
}

// Inputs of 5 and targets of 3 hold eos each: of three tokens of text one is noise, behind a sentinel of its own.
TEST(TextUse, OfPackedExamplesIsLessThanIsFed) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "a", 161));
  const auto packed = objective("{kind = \"span_corruption\", inputs = 5, targets = 3}");
  const auto use = text_use(dataset, *packed, {S, kVocabulary, 1}, true);
  EXPECT_TRUE(use.is_estimate);
  EXPECT_LT(use.tokens, S);
  EXPECT_GE(use.tokens, 2);
  // As many sequences as a pass has, by the loader's own count.
  const auto n_sequences = data::sequences_per_epoch(dataset, *packed, {S, kVocabulary, 1}, true);
  EXPECT_NEAR(160.0 / use.tokens, static_cast<double>(n_sequences), 1);  // the last goes on into the next pass
}

TEST(EvaluatedTokens, AreThoseOfEverySequence) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "a", 50));
  EXPECT_EQ(evaluated_tokens(dataset, *objective("{kind = \"prefix_lm\"}"), S), 6 * S);  // the last token makes none
  EXPECT_GT(evaluated_tokens(dataset, *objective("{kind = \"span_corruption\", inputs = 5, targets = 3}"), S), 49);
}

}  // namespace
}  // namespace evenkeel::train
