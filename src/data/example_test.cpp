#include "data/example.h"

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "support/files.h"
#include "support/gradients.h"

namespace evenkeel::data {
namespace {

using testing::same_bits;

at::Tensor whole(const std::vector<int64_t>& values, at::IntArrayRef shape, at::ScalarType type = at::kLong) {
  return at::tensor(values, at::kLong).view(shape).to(type);
}

TEST(Example, IsReadWithTheTokenThatFollowsAndDocumentsFromTheFirst) {
  const testing::TemporaryFolder folder;
  IndexedDatasetWriter writer(folder / "set", 100);
  writer.add_document({10, 11});
  writer.add_document({20, 21, 22});
  writer.add_document({30, 31});
  writer.commit();
  const auto dataset = IndexedDataset::open((folder / "set").string());
  const auto text = read_text(dataset, 3, 2, /*with_documents=*/true);
  EXPECT_EQ(text.tokens, (std::vector<int64_t>{21, 22, 30}));
  EXPECT_EQ(text.documents, (std::vector<int32_t>{0, 0, 1}));
  EXPECT_TRUE(read_text(dataset, 3, 3, false).documents.empty());
}

TEST(Example, HasNoPartInABatchThatNoneHas) {
  const std::vector<Example> examples = {{{1, 2}, {2, 3}}, {{5, 6}, {-1, 7}}};
  const auto batch = batch_of(examples, 2);
  EXPECT_TRUE(same_bits(batch.tokens, whole({1, 2, 5, 6}, {2, 2})));
  EXPECT_TRUE(same_bits(batch.targets, whole({2, 3, -1, 7}, {2, 2})));
  for (const auto* part : {&batch.document_ids, &batch.is_padding, &batch.is_prefix}) EXPECT_FALSE(part->defined());
  EXPECT_EQ(batch_of({}, 3).tokens.sizes(), (at::IntArrayRef{0, 3}));
}

TEST(Example, IsFilledUpWithPaddingAndWithWhatOthersHave) {
  const std::vector<Example> examples = {{.tokens = {1, 2, 3}, .targets = {-1, 3, 4}, .is_prefix = {true, true, false}},
                                         {.tokens = {5, 6}, .targets = {6, 7}, .document_ids = {0, 3}},
                                         {.tokens = {}, .targets = {}}};
  const auto batch = batch_of(examples, 3);
  EXPECT_TRUE(same_bits(batch.tokens, whole({1, 2, 3, 5, 6, 0, 0, 0, 0}, {3, 3})));
  EXPECT_TRUE(same_bits(batch.targets, whole({-1, 3, 4, 6, 7, -1, -1, -1, -1}, {3, 3})));
  EXPECT_TRUE(same_bits(batch.document_ids, whole({0, 0, 0, 0, 3, 4, 1, 1, 1}, {3, 3}, at::kInt)));
  EXPECT_TRUE(same_bits(batch.is_padding, whole({0, 0, 0, 0, 0, 1, 1, 1, 1}, {3, 3}, at::kBool)));
  EXPECT_TRUE(same_bits(batch.is_prefix, whole({1, 1, 0, 0, 0, 0, 0, 0, 0}, {3, 3}, at::kBool)));
}

TEST(Example, MustFitItsRow) {
  const auto refused = [](const Example& example) { EXPECT_THROW(batch_of({&example, 1}, 2), std::logic_error); };
  refused({.tokens = {1, 2, 3}, .targets = {2, 3, 4}});
  refused({.tokens = {1, 2}, .targets = {2}});
  refused({.tokens = {1, 2}, .targets = {2, 3}, .document_ids = {0}});
  refused({.tokens = {1, 2}, .targets = {2, 3}, .is_prefix = {true}});
}

}  // namespace
}  // namespace evenkeel::data
