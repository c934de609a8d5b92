#include "train/kept_checkpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/trained_runs.h"

namespace evenkeel::train {
namespace {

using ::testing::ElementsAre;

class KeptCheckpointsTest : public testing::RunTest {};

TEST_F(KeptCheckpointsTest, TokensBetweenCheckpointsAreRoundedUpToSteps) {
  train("run", {"train.checkpoint_every=\"40 tokens\"", "train.keep_last=0"});  // 1.25 steps of 32 tokens
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "run"), ElementsAre(2, 4, 6, 8, 10));
}

TEST_F(KeptCheckpointsTest, KeepsTheLastCheckpointsAndThoseOfPhaseEnds) {
  train("run", {"train.checkpoint_every=\"1 steps\"", "train.keep_last=1"});
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "run"), ElementsAre(6, 9, 10));
}

TEST_F(KeptCheckpointsTest, KeepsWhereOtherRunsStart) {
  auto giving = options("run");
  giving.keep_steps = {3};
  train_run(config({"train.keep_last=1"}), giving);
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "run"), ElementsAre(3, 6, 10));
}

}  // namespace
}  // namespace evenkeel::train
