#include "data/span_corruption.h"

#include <gtest/gtest.h>

namespace evenkeel::data {
namespace {

using Ids = std::vector<int64_t>;

// "Thank you for inviting me to your party last week", T5's own example (arXiv 1910.10683, figure 2), by words.
TEST(Corrupted, PutsSentinelsWhereTextIsMissing) {
  const Ids text = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
  const auto pair =
      corrupted(text, {false, false, true, true, false, false, false, false, true, false}, /*first_sentinel=*/99);
  EXPECT_EQ(pair.inputs, (Ids{10, 11, 99, 14, 15, 16, 17, 98, 19}));
  EXPECT_EQ(pair.targets, (Ids{99, 12, 13, 98, 18, 97}));  // the last run without noise has its sentinel too
}

TEST(DecoderExample, IsFedWithBothAndScoresTheTargets) {
  const InputsAndTargets pair{{5, 99, 1}, {99, 6, 7, 1}};
  const auto example = decoder_example(pair, {.bos = 2});
  EXPECT_EQ(example.tokens, (Ids{2, 5, 99, 1, 99, 6, 7}));
  EXPECT_EQ(example.targets, (Ids{-1, -1, -1, 99, 6, 7, 1}));
  EXPECT_TRUE(example.is_prefix.empty());
  EXPECT_TRUE(example.document_ids.empty());
}

// bos and the inputs see each other; no target is among them.
TEST(DecoderExample, HasTheInputsAsAPrefix) {
  const auto example = decoder_example({{5, 6}, {7, 8, 9}}, {.bos = 2, .prefix_attention = true});
  EXPECT_EQ(example.tokens, (Ids{2, 5, 6, 7, 8}));
  EXPECT_EQ(example.is_prefix, (std::vector<bool>{true, true, true, false, false}));
}

}  // namespace
}  // namespace evenkeel::data
