#include "data/sampler.h"

#include <set>

#include <gtest/gtest.h>

#include "support/made_sets.h"

// Orders, replay and resuming are tested through batches, in loader_test.cpp.
namespace evenkeel::data {
namespace {

SourceSpec write_source(const testing::TemporaryFolder& folder, const std::string& name, int64_t n_tokens,
                        int32_t first) {
  IndexedDatasetWriter writer(folder / name, 1000);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n_tokens; ++i) ids.push_back(first + static_cast<int32_t>(i));
  writer.add_document(ids);
  writer.commit();
  return {name, (folder / name).string(), 1, "r.toml:" + name};
}

TEST(SamplesPerEpoch, EachNeedsATokenMoreThanItsLength) {
  EXPECT_EQ(samples_per_epoch(13, 12), 1);
  EXPECT_EQ(samples_per_epoch(24, 12), 1);
  EXPECT_EQ(samples_per_epoch(25, 12), 2);
  EXPECT_EQ(samples_per_epoch(12, 12), 0);
  EXPECT_EQ(samples_per_epoch(0, 1), 0);
}

TEST(Sampler, NamesSourceSampleAndExample) {
  const testing::TemporaryFolder folder;
  Datasets datasets;
  const auto a = write_source(folder, "a", 13, 0), b = write_source(folder, "b", 9, 500);  // 3 and 2 samples of 4
  Sampler sampler({.sequence_length = 4, .vocab_size = 1000, .seed = 7}, {.data = {a, b}}, {}, datasets);
  std::map<std::string, std::vector<Draw>> draws;
  for (int i = 0; i < 12; ++i) {
    const auto draw = sampler.next();
    draws[draw.source].push_back(draw);
  }
  ASSERT_EQ(draws.at("a").size(), 6U);  // equal weights
  for (const auto& [name, n_samples] : std::map<std::string, int64_t>{{"a", 3}, {"b", 2}})
    for (int64_t epoch = 0; epoch < 6 / n_samples; ++epoch) {
      std::set<int64_t> samples;
      for (int64_t i = 0; i < n_samples; ++i) {
        const auto& draw = draws.at(name)[static_cast<size_t>(epoch * n_samples + i)];
        ASSERT_EQ(draw.examples.size(), 1U);
        const auto& [id, text] = draw.examples[0];
        EXPECT_EQ(id.epoch, epoch) << name;
        EXPECT_EQ(id.number, epoch * n_samples + i) << name;
        EXPECT_EQ(id.seed, draws.at(name)[0].examples[0].id.seed) << name;
        EXPECT_EQ(text.begin, 4 * id.number);
        EXPECT_EQ(text.n_tokens, 4);
        EXPECT_EQ(&draw.stream.dataset(), &datasets.at((folder / name).string()));
        EXPECT_EQ(draw.objective.kind(), "causal");
        samples.insert(draw.stream.block_of(text.begin));
      }
      EXPECT_EQ(samples.size(), static_cast<size_t>(n_samples)) << name;
      EXPECT_LT(*samples.rbegin(), n_samples);
    }
  EXPECT_NE(draws.at("a")[0].examples[0].id.seed, draws.at("b")[0].examples[0].id.seed);
  EXPECT_EQ(sampler.state().mixture[0].count, 6);
  EXPECT_EQ(sampler.state().mixture[1].count, 6);
}

// Of 81 tokens, 20 samples of 4. Half a sample an example is twice as many sequences, and packed examples of 3 tokens
// leave none of the text out.
TEST(SequencesPerEpoch, CountsWhatTheTextIsMadeInto) {
  const testing::TemporaryFolder folder;
  const auto set = IndexedDataset::open(write_source(folder, "a", 81, 0).path);
  const SamplerOptions options{.sequence_length = 4, .vocab_size = 1000, .seed = 7};
  const auto causal = make_objective({}, {4, 1000});
  for (const bool shuffle : {false, true}) EXPECT_EQ(sequences_per_epoch(set, *causal, options, shuffle), 20);
  const SamplerOptions longer{.sequence_length = 40, .vocab_size = 1000, .seed = 7};
  const auto spans = testing::objective_of("{kind = \"span_corruption\"}", {40, 1000});
  const int64_t n_tokens = spans->text_tokens({}), length = spans->length({}, n_tokens);
  const int64_t a_sequence = 40 / length;  // examples
  EXPECT_EQ(sequences_per_epoch(set, *spans, longer, true), (80 + a_sequence * n_tokens - 1) / (a_sequence * n_tokens));
}

// What is random in an example comes again with it.
TEST(Sampler, NamesAReplayedExampleAsItWas) {
  const testing::TemporaryFolder folder;
  Datasets datasets;
  const auto a = write_source(folder, "a", 41, 0), b = write_source(folder, "b", 41, 500);  // 10 samples of 4 each
  Sampler warm({4, 1000, 7}, {.data = {a}}, {}, datasets);
  for (int i = 0; i < 3; ++i) warm.next();
  const PastDraws past{.start_cursors = warm.state().cursors, .draws = 5, .seed = 7};
  Sampler first({4, 1000, 7}, {.data = {a}}, warm.state(), datasets);
  std::vector<ExampleId> seen;
  for (int i = 0; i < 5; ++i) seen.push_back(first.next().examples[0].id);
  EXPECT_EQ(seen[0].number, 3);
  Sampler second({4, 1000, /*seed=*/8},
                 {.data = {b}, .replay = {a}, .replay_fraction = 0.5, .replay_seen = true, .past = past}, first.state(),
                 datasets);
  std::vector<ExampleId> again;
  while (again.size() < seen.size())
    if (const auto draw = second.next(); draw.source == "a") again.push_back(draw.examples[0].id);
  for (size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(again[i].seed, seen[i].seed);
    EXPECT_EQ(again[i].number, seen[i].number);
    EXPECT_EQ(again[i].epoch, seen[i].epoch);
  }
}

}  // namespace
}  // namespace evenkeel::data
