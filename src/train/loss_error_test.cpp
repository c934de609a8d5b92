#include "train/loss_error.h"

#include <cmath>

#include <gtest/gtest.h>

namespace evenkeel::train {
namespace {

LossFigure read(const char* text) {
  Json result = Json::parse(text, "t");
  result["routing"] = Json::array();
  return loss_figure(row_from_json<record::SetResult>(result, "t"));
}

TEST(LossFigure, ReadsWhatAnEvaluationHas) {
  const auto figure = read(R"({"loss": 3, "loss_se": 0.5, "loss_blocks": {"tokens": [8, 4], "loss": [2, 5]}})");
  EXPECT_EQ(figure.value, 3.0);
  EXPECT_EQ(figure.se, 0.5);
  ASSERT_TRUE(figure.blocks);
  EXPECT_EQ(figure.blocks->tokens, (std::vector<int64_t>{8, 4}));
  EXPECT_EQ(figure.blocks->means, (std::vector<double>{2, 5}));
}

TEST(LossFigure, OfOlderFilesIsNotKnownRatherThanZero) {
  const auto old = read(R"({"loss": 3, "perplexity": 20})"), one_window = read(R"({"loss": 3, "loss_se": null})");
  EXPECT_FALSE(old.se || old.blocks || one_window.se);
  EXPECT_FALSE(difference(old, read(R"({"loss": 2, "loss_se": 0.5})")).se);
  EXPECT_EQ(difference(old, one_window).value, 0.0);
}

TEST(LossDifference, IsPairedOnTheSameBlocks) {
  // Blocks differ by 3 between each other and by 0.5, 0.5, 0.8 between the two: standard deviation sqrt(0.03), over
  // sqrt(3) blocks.
  const auto a =
      read(R"({"loss": 4.6, "loss_se": 1.7, "loss_blocks": {"tokens": [8, 8, 8], "loss": [1.5, 4.5, 7.8]}})");
  const auto b = read(R"({"loss": 4, "loss_se": 1.7, "loss_blocks": {"tokens": [8, 8, 8], "loss": [1, 4, 7]}})");
  const auto paired = difference(a, b);
  EXPECT_NEAR(paired.value, 0.6, 1e-12);
  EXPECT_NEAR(*paired.se, 0.1, 1e-12);
  EXPECT_NEAR(*difference(paired, paired).se, 0.0, 1e-12);  // a difference can be taken of again
}

TEST(LossDifference, OfOtherBlocksHasTheErrorsOfBoth) {
  const auto a = read(R"({"loss": 4.6, "loss_se": 0.3, "loss_blocks": {"tokens": [8, 8], "loss": [4, 5]}})");
  const auto b = read(R"({"loss": 4, "loss_se": 0.4, "loss_blocks": {"tokens": [8, 7], "loss": [4, 4]}})");
  const auto unpaired = difference(a, b);
  EXPECT_NEAR(*unpaired.se, 0.5, 1e-12);
  EXPECT_FALSE(unpaired.blocks);
}

// Student's quantile of two degrees is 4.303, of N(0, 1) 1.960.
TEST(LossError, HalfWidthsFollowTheNumberOfBlocks) {
  const analysis::ClusterMeans three{{1, 2, 3}, {8, 8, 8}};
  EXPECT_NEAR(*half_width({1, 0.5, three}), 0.5 * 4.3027, 1e-4);
  EXPECT_NEAR(*half_width({1, 0.5, std::nullopt}), 0.5 * 1.9600, 1e-4);
  EXPECT_NEAR(*half_width({1, 0.5, std::nullopt}, 0.01), 0.5 * 2.5758, 1e-4);
  EXPECT_FALSE(half_width({1, std::nullopt, three}));
}

}  // namespace
}  // namespace evenkeel::train
