#include "train/token_counts.h"

#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/gradients.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;

DataSource write_source(const testing::TemporaryFolder& folder, const std::string& name,
                        const std::vector<std::vector<int32_t>>& documents, double weight = 1) {
  data::IndexedDatasetWriter writer(folder / name, testing::kTinyVocabulary);
  for (const auto& ids : documents) writer.add_document(ids);
  writer.commit();
  return {name, {(folder / name).string(), "r.toml:1:1"}, weight};
}

at::Tensor counted(const std::vector<DataSource>& sources, int64_t vocab_size) {
  data::Datasets datasets;
  return count_tokens(sources, vocab_size, datasets);
}

TEST(TokenCounts, OfOneSourceAreItsOccurrences) {
  const testing::TemporaryFolder folder;
  const auto source = write_source(folder, "a", {{3, 0, 3}, {1, 3}}, 0.25);  // its weight does not matter alone
  EXPECT_TRUE(testing::same_bits(counted({source}, 5), at::tensor({1, 1, 0, 3, 0}, at::kLong)));
}

// 4 and 8 tokens of weights 3 and 1: 12 tokens in shares of 9 and 3. One token of a stands for 9 / 4, of b for 3 / 8.
TEST(TokenCounts, OfAMixtureAreByItsShares) {
  const testing::TemporaryFolder folder;
  const auto a = write_source(folder, "a", {{0, 0, 0, 1}}, 3),
             b = write_source(folder, "b", {{1, 1, 1, 1, 2, 2, 2, 2}}, 1);
  const auto counts = counted({a, b}, 4);
  EXPECT_TRUE(testing::same_bits(counts, at::tensor({7, 4, 2, 0}, at::kLong)));  // 6.75, 2.25 + 1.5, 1.5
  EXPECT_TRUE(testing::same_bits(counted({a, {"b", b.path, 0}}, 4), at::tensor({9, 3, 0, 0}, at::kLong)));
}

TEST(TokenCounts, ReadMoreThanOneBlock) {
  const testing::TemporaryFolder folder;
  const auto source = write_source(folder, "a", {std::vector<int32_t>((1 << 20) + 5, 2), {1}});
  EXPECT_TRUE(testing::same_bits(counted({source}, 4), at::tensor({0, 1, (1 << 20) + 5, 0}, at::kLong)));
}

TEST(TokenCounts, RefuseIdsOutsideTheVocabulary) {
  const testing::TemporaryFolder folder;
  const auto source = write_source(folder, "a", {{0, 9}});
  EXPECT_THAT(testing::message_of<DataError>([&] { counted({source}, 9); }), HasSubstr("a: got token id 9; need 0..8"));
}

}  // namespace
}  // namespace evenkeel::train
