#include "data/sequence_reader.h"

#include <algorithm>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/window_reader.h"
#include "support/gradients.h"
#include "support/made_sets.h"

namespace evenkeel::data {
namespace {

using testing::objective_of;

constexpr ObjectivePlace kPlace{.sequence_length = 48, .vocab_size = 60'000};

class SequenceReaders : public ::testing::Test {
 protected:
  testing::TemporaryFolder folder_;
  // 500 tokens, t of id 100 + t.
  IndexedDataset set_ =
      IndexedDataset::open(testing::write_documents(folder_, "set", testing::counted_documents(500, 9, 100)));
  std::vector<Batch> all(SequenceReader& reader, int64_t batch_size) const {
    std::vector<Batch> out;
    for (Batch batch = reader.next(batch_size); batch.tokens.size(0) > 0; batch = reader.next(batch_size))
      out.push_back(batch);
    return out;
  }
  static int64_t n_scored(const std::vector<Batch>& batches) {
    int64_t out = 0;
    for (const auto& batch : batches) out += batch.targets.ge(0).sum().item<int64_t>();
    return out;
  }
};

// Every token but the last is text of one example, an input or a target; what is left at the end is a shorter one.
TEST_F(SequenceReaders, HaveTheWholeSetOnce) {
  const auto objective = objective_of("{kind = \"ul2\", first_sentinel = 50000}", kPlace);
  SequenceReader reader(set_, *objective, {.sequence_length = 48});
  const auto batches = all(reader, 3);
  std::map<int64_t, int64_t> seen;
  int64_t n_sequences = 0;
  for (const auto& batch : batches) {
    n_sequences += batch.tokens.size(0);
    const auto *tokens = batch.tokens.const_data_ptr<int64_t>(), *targets = batch.targets.const_data_ptr<int64_t>();
    const auto* documents = batch.document_ids.const_data_ptr<int32_t>();
    for (int64_t i = 0; i < batch.tokens.numel(); ++i) {
      const bool begins = i % 48 == 0 || documents[i] != documents[i - 1];
      if (!begins && targets[i - 1] < 0) ++seen[tokens[i]];  // of the inputs
      if (targets[i] >= 0) ++seen[targets[i]];
    }
  }
  for (int64_t t = 0; t < 498; ++t) EXPECT_EQ(seen[100 + t], 1) << t;
  EXPECT_LE(seen[100 + 498], 1);  // one token that is left makes no example
  EXPECT_EQ(seen[100 + 499], 0);
  EXPECT_EQ(reader.n_sequences(), n_sequences);
  EXPECT_EQ(reader.n_scored_tokens(), n_scored(batches));
  for (const auto& batch : batches) EXPECT_LE(batch.tokens.size(0), 3);
}

TEST_F(SequenceReaders, DoNotDependOnTheSizeOfBatches) {
  const auto objective = objective_of("{kind = \"span_corruption\", density = 0.5}", kPlace);
  SequenceReader ones(set_, *objective, {.sequence_length = 48}), fives(set_, *objective, {.sequence_length = 48}),
      seeded(set_, *objective, {.sequence_length = 48, .seed = 1});
  const Batch by_ones = joined(all(ones, 1)), by_fives = joined(all(fives, 5)), other = joined(all(seeded, 5));
  EXPECT_TRUE(testing::same_bits(by_ones.tokens, by_fives.tokens));
  EXPECT_TRUE(testing::same_bits(by_ones.targets, by_fives.targets));
  EXPECT_FALSE(other.tokens.equal(by_fives.tokens));
}

TEST_F(SequenceReaders, ScoreNoMoreThanTheyMay) {
  const auto objective = objective_of("{kind = \"span_corruption\"}", kPlace);
  for (const int64_t max_tokens : {1, 7, 20, 40}) {
    SequenceReader reader(set_, *objective, {.sequence_length = 48, .max_tokens = max_tokens});
    EXPECT_EQ(reader.n_scored_tokens(), max_tokens);
    EXPECT_EQ(n_scored(all(reader, 4)), max_tokens);
  }
  SequenceReader whole(set_, *objective, {.sequence_length = 48}),
      more(set_, *objective, {.sequence_length = 48, .max_tokens = 100'000});
  EXPECT_EQ(more.n_scored_tokens(), whole.n_scored_tokens());
}

// Of causal text the scored tokens are those of the windows; the last sequence is padded.
TEST_F(SequenceReaders, ScoreCausalTextAsWindowsDo) {
  const auto causal = make_objective({}, kPlace);
  SequenceReader reader(set_, *causal, {.sequence_length = 48, .document_ids = true});
  WindowReader windows(set_, 48, 0, true);
  EXPECT_EQ(reader.n_scored_tokens(), windows.n_scored_tokens());
  EXPECT_EQ(reader.n_sequences(), 11);
  for (int64_t row = 0; row < 10; ++row) {
    const Batch got = reader.next(1), need = windows.next(1);
    EXPECT_TRUE(testing::same_bits(got.tokens, need.tokens));
    EXPECT_TRUE(testing::same_bits(got.targets, need.targets));
    EXPECT_TRUE(testing::same_bits(got.document_ids, need.document_ids));
  }
  const Batch last = reader.next(5), window = windows.next(5);
  EXPECT_EQ(window.tokens.size(1), 19);
  EXPECT_TRUE(testing::same_bits(last.tokens.narrow(1, 0, 19).contiguous(), window.tokens));
  EXPECT_EQ(last.is_padding.sum().item<int64_t>(), 29);
}

TEST_F(SequenceReaders, HaveNothingOfTooLittleText) {
  const auto single = IndexedDataset::open(testing::write_documents(folder_, "single", {{5}}));
  const auto objective = objective_of("{kind = \"ul2\"}", kPlace);
  SequenceReader reader(single, *objective, {.sequence_length = 48});
  EXPECT_EQ(reader.n_scored_tokens(), 0);
  EXPECT_EQ(reader.next(4).tokens.size(0), 0);
  const auto conversation = objective_of("{kind = \"conversation\"}", kPlace);
  EXPECT_THROW(SequenceReader(single, *conversation, {.sequence_length = 48}), DataError);
}

}  // namespace
}  // namespace evenkeel::data
