#include "data/sampler.h"

#include <set>

#include <gtest/gtest.h>

#include "support/files.h"

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

TEST(Sampler, NamesSourceEpochAndSample) {
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
        EXPECT_EQ(draw.epoch, epoch) << name;
        EXPECT_EQ(&draw.dataset, &datasets.at((folder / name).string()));
        samples.insert(draw.sample);
      }
      EXPECT_EQ(samples.size(), static_cast<size_t>(n_samples)) << name;
      EXPECT_LT(*samples.rbegin(), n_samples);
    }
  EXPECT_EQ(sampler.state().mixture[0].count, 6);
  EXPECT_EQ(sampler.state().mixture[1].count, 6);
}

}  // namespace
}  // namespace evenkeel::data
