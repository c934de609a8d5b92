#include "train/check_evaluation.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/files.h"
#include "support/made_lines.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;

// Blocks of 3 and 1 tokens with losses 2 and 4: their mean is (3 * 2 + 4) / 4 = 2.5, and its standard error
// sqrt(2 / 1 * ((3 * -0.5)^2 + 1.5^2)) / 4 = 0.75.
record::SetResult result() {
  auto out = testing::made_result(2.5, {0.7, 0.6});
  out.perplexity = std::exp(2.5);
  out.tokens = 4;
  out.loss_se = 0.75;
  out.loss_blocks = record::ClusterMeans{{2, 4}, {3, 1}};
  out.mri_se = 0.02;
  out.routing[0].mri_se = 0.03;
  out.routing[1].mri_se = 0.02;
  return out;
}

std::string message(const record::SetResult& of) {
  return testing::message_of<DataError>([&] { check_evaluation({"held", of, "m.jsonl, line 3"}); });
}

TEST(CheckEvaluation, TakesWhatFollowsFromTheBlocks) {
  check_evaluation({"held", result(), "m.jsonl, line 3"});
  auto one = result();
  one.loss_blocks = record::ClusterMeans{{2.5}, {4}};  // without a spread
  one.loss_se.reset();
  check_evaluation({"held", one, "m.jsonl, line 3"});
  auto older = result();
  older.loss_blocks.reset();
  older.mri_se.reset();
  for (auto& layer : older.routing) layer.mri_se.reset();
  check_evaluation({"held", older, "m.jsonl, line 3"});
  auto dense = result();
  dense.routing = {};
  dense.mri_se.reset();
  check_evaluation({"held", dense, "m.jsonl, line 3"});
}

TEST(CheckEvaluation, NamesALossThatIsNotOfItsBlocks) {
  auto other = result();
  other.loss = 2.4;
  other.perplexity = std::exp(2.4);
  EXPECT_EQ(message(other), "m.jsonl, line 3: got 2.4 as 'loss' of 'held'; need 2.5, the mean of its 'loss_blocks'");
  other = result();
  other.loss_blocks->means[1] = 4.5;
  EXPECT_THAT(message(other), HasSubstr("got 2.5 as 'loss' of 'held'; need 2.625"));
  other = result();
  other.tokens = 5;
  EXPECT_THAT(message(other), HasSubstr("got 5 as 'tokens' of 'held'; need 4, those of its 'loss_blocks'"));
  other.tokens.reset();
  EXPECT_THAT(message(other), HasSubstr("got null as 'tokens' of 'held'; need 4"));
  other = result();
  other.loss_se = 0.5;
  EXPECT_THAT(message(other), HasSubstr("got 0.5 as 'loss_se' of 'held'; need 0.75, the standard error that"));
  other.loss_se.reset();
  EXPECT_THAT(message(other), HasSubstr("got null as 'loss_se' of 'held'; need 0.75"));
  other = result();
  other.perplexity = 12;
  EXPECT_THAT(message(other), HasSubstr("got 12 as 'perplexity' of 'held'; need 12.18"));
}

TEST(CheckEvaluation, NamesAnErrorOfTheMriThatCannotBe) {
  auto other = result();
  other.routing[0].mri_se = 0.6;  // of values within 0 and 1
  EXPECT_THAT(message(other), HasSubstr("got 0.6 as 'mri_se' of layer 0 of 'held'; need at most 0.578"));
  other = result();
  other.mri_se = 0.026;
  EXPECT_THAT(message(other), HasSubstr("got 0.026 as 'mri_se' of 'held'; need at most 0.025, the mean of those"));
  other = result();
  other.routing[1].mri_se.reset();
  EXPECT_THAT(message(other), HasSubstr("got null as 'mri_se' of layer 1 and 0.02 of all layers of 'held'; need both"));
  other = result();
  other.routing.pop_back();
  EXPECT_THAT(message(other), HasSubstr("got 0.02 as 'mri_se' of 'held'; need 0.03, the mean of those of its layers"));
}

}  // namespace
}  // namespace evenkeel::train
