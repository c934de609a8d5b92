#include "data/window_reader.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/files.h"

namespace evenkeel::data {
namespace {

using testing::TemporaryFolder;

// Token t is the id t.
IndexedDataset counted_tokens(const TemporaryFolder& folder, int32_t n_tokens, int32_t document_tokens) {
  const auto prefix = folder / ("tokens-" + std::to_string(n_tokens));
  IndexedDatasetWriter writer(prefix, /*vocabulary=*/100);
  for (int32_t first = 0; first < n_tokens; first += document_tokens) {
    std::vector<int32_t> ids;
    for (int32_t t = first; t < std::min(n_tokens, first + document_tokens); ++t) ids.push_back(t);
    writer.add_document(ids);
  }
  writer.commit();
  return IndexedDataset::open(prefix);
}

TEST(WindowReader, ScoresEveryTokenButTheFirstOnce) {
  const TemporaryFolder folder;
  const auto dataset = counted_tokens(folder, 25, 7);
  for (const int64_t length : {1, 3, 4, 5, 24, 25, 100})
    for (const int64_t batch_size : {1, 2, 100})
      for (const int64_t max_tokens : {0, 1, 10, 24, 1000}) {
        WindowReader reader(dataset, length, max_tokens, false);
        std::vector<int64_t> scored;
        for (Batch batch = reader.next(batch_size); batch.tokens.size(0) > 0; batch = reader.next(batch_size)) {
          ASSERT_LE(batch.tokens.size(0), batch_size);
          ASSERT_LE(batch.tokens.size(1), length);
          EXPECT_TRUE(batch.targets.eq(batch.tokens + 1).all().item<bool>());
          const int64_t* targets = batch.targets.const_data_ptr<int64_t>();
          scored.insert(scored.end(), targets, targets + batch.targets.numel());
        }
        const int64_t need = max_tokens == 0 ? 24 : std::min<int64_t>(24, max_tokens);
        ASSERT_EQ(static_cast<int64_t>(scored.size()), need);
        EXPECT_EQ(reader.n_scored_tokens(), need);
        for (size_t i = 0; i < scored.size(); ++i) EXPECT_EQ(scored[i], static_cast<int64_t>(i) + 1);
        EXPECT_EQ(reader.next(batch_size).tokens.numel(), 0);  // stays at the end
      }
}

TEST(WindowReader, GivesDocumentsAndTakesOneToken) {
  const TemporaryFolder folder;
  const auto dataset = counted_tokens(folder, 5, 2);  // documents 0-1, 2-3, 4
  WindowReader reader(dataset, 3, 0, true);
  const auto first = reader.next(1), last = reader.next(1);
  const auto ids_of = [](const Batch& batch) {
    const int32_t* ids = batch.document_ids.const_data_ptr<int32_t>();
    return std::vector<int32_t>(ids, ids + batch.document_ids.numel());
  };
  EXPECT_EQ(ids_of(first), (std::vector<int32_t>{0, 0, 1}));
  EXPECT_EQ(ids_of(last), (std::vector<int32_t>{0}));
  const auto single = counted_tokens(folder, 1, 1);
  EXPECT_EQ(WindowReader(single, 4, 0, false).n_scored_tokens(), 0);
  EXPECT_EQ(WindowReader(single, 4, 0, false).next(2).tokens.size(0), 0);
}

}  // namespace
}  // namespace evenkeel::data
