#include "data/example.h"

#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "support/gradients.h"

namespace evenkeel::data {
namespace {

using testing::same_bits;

at::Tensor whole(const std::vector<int64_t>& values, at::IntArrayRef shape, at::ScalarType type = at::kLong) {
  return at::tensor(values, at::kLong).view(shape).to(type);
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

TEST(Packed, ExamplesAreDocumentsOfTheirOwn) {
  const std::vector<Example> examples = {{{1, 2}, {2, 3}, {0, 1}}, {{5}, {6}}, {.tokens = {7, 8}, .targets = {-1, 9}}};
  const auto row = packed(examples);
  EXPECT_EQ(row.tokens, (std::vector<int64_t>{1, 2, 5, 7, 8}));
  EXPECT_EQ(row.targets, (std::vector<int64_t>{2, 3, 6, -1, 9}));
  EXPECT_EQ(row.document_ids, (std::vector<int32_t>{0, 0, 1, 2, 2}));
  EXPECT_TRUE(row.is_prefix.empty());
  EXPECT_TRUE(packed({}).tokens.empty());
}

TEST(Packed, KeepsThePrefixes) {
  const std::vector<Example> examples = {{.tokens = {1, 2}, .targets = {2, 3}},
                                         {.tokens = {5, 6}, .targets = {-1, 7}, .is_prefix = {true, false}},
                                         {.tokens = {8}, .targets = {9}}};
  EXPECT_EQ(packed(examples).is_prefix, (std::vector<bool>{false, false, true, false, false}));
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
