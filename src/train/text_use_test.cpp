#include "train/text_use.h"

#include <gtest/gtest.h>

#include "data/sequence_reader.h"
#include "support/made_sets.h"
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
    EXPECT_EQ(use.advance, 8);
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
  EXPECT_DOUBLE_EQ(160.0 / use.advance, static_cast<double>(n_sequences));
  EXPECT_EQ(use.tokens, use.advance);
}

// Four conversations of 6, 3, 12 and 4 tokens, of which the third has nothing to score and the last token of each is
// only asked for: one pass over 25 tokens has 5 + 2 + 3 of text.
TEST(TextUse, OfConversationsIsWhatIsFedAndNotWhatIsPassedOver) {
  const testing::TemporaryFolder folder;
  const std::vector<std::vector<int32_t>> documents = {
      {1, 2, 3, 4, 5, 6}, {1, 2, 3}, std::vector<int32_t>(12, 7), {1, 2, 3, 4}};
  const std::vector<std::vector<uint8_t>> scored = {
      {0, 0, 0, 1, 1, 1}, {0, 1, 1}, std::vector<uint8_t>(12, 0), {0, 0, 1, 1}};
  const auto set = data::IndexedDataset::open(testing::write_conversations(folder, "talk", documents, scored));
  const auto talk = objective("{kind = \"conversation\"}");
  const data::SamplerOptions options{S, kVocabulary, 1};
  const auto use = text_use(set, *talk, options, /*shuffle=*/false);
  const auto n_sequences = static_cast<double>(data::sequences_per_epoch(set, *talk, options, false));
  EXPECT_TRUE(use.is_estimate);
  EXPECT_DOUBLE_EQ(use.advance * n_sequences, 24);  // three blocks of 8: once over is one epoch
  EXPECT_DOUBLE_EQ(use.tokens * n_sequences, 10);
}

TEST(EvaluatedTokens, EndWhereEnoughIsScored) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "a", 161));
  const auto packed = objective("{kind = \"span_corruption\", inputs = 5, targets = 3}");
  const double all = evaluated_tokens(dataset, *packed, S, 0);
  EXPECT_EQ(evaluated_tokens(dataset, *packed, S, 1), S);
  EXPECT_EQ(evaluated_tokens(dataset, *packed, S, 1'000'000), all);
  for (const int64_t most : {5, 20, 50}) {  // as many sequences as an evaluation has
    const data::SequenceReader reader(dataset, *packed, {.sequence_length = S, .max_tokens = most});
    EXPECT_EQ(evaluated_tokens(dataset, *packed, S, most), static_cast<double>(S * reader.n_sequences())) << most;
    EXPECT_LT(evaluated_tokens(dataset, *packed, S, most), all) << most;
  }
}

TEST(EvaluatedTokens, AreThoseOfEverySequence) {
  const testing::TemporaryFolder folder;
  const auto dataset = data::IndexedDataset::open(testing::write_tiny_data(folder, "a", 50));
  EXPECT_EQ(evaluated_tokens(dataset, *objective("{kind = \"prefix_lm\"}"), S, 0), 6 * S);  // the last token makes none
  EXPECT_GT(evaluated_tokens(dataset, *objective("{kind = \"span_corruption\", inputs = 5, targets = 3}"), S, 0), 49);
}

}  // namespace
}  // namespace evenkeel::train
