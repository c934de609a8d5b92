#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "data/objectives/objective.h"
#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::data {
namespace {

TEST(Causal, ScoresEachTokenByTheNextAndNumbersDocumentsFromTheFirst) {
  const testing::TemporaryFolder folder;
  IndexedDatasetWriter writer(folder / "set", 100);
  writer.add_document({10, 11});
  writer.add_document({20, 21, 22});
  writer.add_document({30, 31});
  writer.commit();
  const auto dataset = IndexedDataset::open((folder / "set").string());
  const auto objective = make_objective({}, {3});
  auto batch = objective->rows(2, 3, true);
  objective->fill({dataset, 3}, 1, batch);
  objective->fill({dataset, 0}, 0, batch);
  EXPECT_TRUE(testing::same_bits(batch.tokens, at::tensor({10, 11, 20, 21, 22, 30}, at::kLong).view({2, 3})));
  EXPECT_TRUE(testing::same_bits(batch.targets, at::tensor({11, 20, 21, 22, 30, 31}, at::kLong).view({2, 3})));
  EXPECT_TRUE(testing::same_bits(batch.document_ids, at::tensor({0, 0, 1, 0, 0, 1}, at::kInt).view({2, 3})));
  EXPECT_FALSE(objective->rows(2, 3, false).document_ids.defined());
}

}  // namespace
}  // namespace evenkeel::data
