#include "data/batch.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "support/gradients.h"

namespace evenkeel::data {
namespace {

Batch made_batch(int64_t n, uint64_t seed) {
  Batch out;
  out.tokens = testing::random_ids(n * 3, 9, seed).view({n, 3});
  out.targets = testing::random_ids(n * 3, 9, seed + 1).view({n, 3});
  out.document_ids = testing::random_ids(n * 3, 2, seed + 2).view({n, 3}).to(at::kInt);
  out.sources = {{"en", n - 1}, {"de", 1}};
  return out;
}

TEST(Batch, JoinsSequencesAndCountsTheirSources) {
  const std::vector<Batch> parts = {made_batch(2, 1), made_batch(1, 5)};
  const auto whole = joined(parts);
  EXPECT_TRUE(testing::same_bits(whole.tokens, at::cat({parts[0].tokens, parts[1].tokens})));
  EXPECT_TRUE(testing::same_bits(whole.targets, at::cat({parts[0].targets, parts[1].targets})));
  EXPECT_TRUE(testing::same_bits(whole.document_ids, at::cat({parts[0].document_ids, parts[1].document_ids})));
  EXPECT_FALSE(whole.is_padding.defined());
  EXPECT_EQ(whole.sources, (std::map<std::string, int64_t>{{"en", 1}, {"de", 2}}));
}

TEST(Batch, JoinsSequencesOfWhichSomeHaveMore) {
  std::vector<Batch> parts = {made_batch(2, 1), made_batch(1, 5)};
  parts[0].document_ids = at::Tensor();
  parts[1].is_padding = at::ones({1, 3}, at::kBool);
  const auto whole = joined(parts);
  EXPECT_TRUE(testing::same_bits(whole.document_ids, at::cat({at::zeros({2, 3}, at::kInt), parts[1].document_ids})));
  EXPECT_TRUE(testing::same_bits(whole.is_padding, at::cat({at::zeros({2, 3}, at::kBool), parts[1].is_padding})));
  EXPECT_FALSE(whole.is_prefix.defined());
}

// The device `meta` holds shapes alone: it shows what was moved without an accelerator.
TEST(Batch, MovesEveryTensorThatIsThere) {
  auto batch = made_batch(2, 9);
  batch.is_prefix = at::zeros({2, 3}, at::kBool);
  const auto moved = on_device(batch, at::Device(at::kMeta));
  for (const auto* tensor : {&moved.tokens, &moved.targets, &moved.document_ids, &moved.is_prefix})
    EXPECT_TRUE(tensor->is_meta());
  EXPECT_FALSE(moved.is_padding.defined());
  EXPECT_EQ(moved.sources, batch.sources);
}

}  // namespace
}  // namespace evenkeel::data
