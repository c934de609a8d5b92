#include "train/phase_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/files.h"
#include "support/made_arms.h"
#include "support/made_run.h"

namespace evenkeel::train {
namespace {

using testing::made_step;

record::StepRow scored_step(int64_t step, double scored, double padding) {
  auto row = made_step(step, "one", {0.5, 0.5});
  row.scored_share = scored;
  row.padding_share = padding;
  return row;
}

TEST(PhaseRows, SayTheObjectiveAndWhatWasScored) {
  const testing::TemporaryFolder folder;
  const auto config = testing::tiny_config("/data", {"phase.one.objective={kind = \"prefix_lm\"}"});
  // Of 32 tokens 16 are padding and 4 scored; then none is padding and 16 are scored: 20 of 48.
  testing::write_made_run(folder / "run", config, {scored_step(1, 0.25, 0.5), scored_step(2, 0.5, 0)});
  const auto rows = phase_rows(read_arm("arm", "arm", folder / "run"));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].objective, "prefix_lm");
  EXPECT_DOUBLE_EQ(*rows[0].scored_share, 20.0 / 48);
  EXPECT_EQ(rows[0].padding_share, 0.25);
  EXPECT_EQ(rows[0].tokens, 64);
  EXPECT_EQ(rows[1].objective, "causal");  // which has no step yet
  EXPECT_EQ(rows[1].scored_share, std::nullopt);
  EXPECT_EQ(rows[1].padding_share, std::nullopt);
  EXPECT_EQ(rows[1].first_step, std::nullopt);
}

TEST(PhaseRows, OfAnEarlierVersionLackShares) {
  const testing::TemporaryFolder folder;
  testing::write_made_run(folder / "run", testing::tiny_config("/data"), {made_step(1, "one", {0.5, 0.5})});
  const Json row = evenkeel::to_json(phase_rows(read_arm("arm", "arm", folder / "run"))[0]);
  EXPECT_TRUE(row.at("scored_share").is_null());
  EXPECT_EQ(row.at("objective"), Json("causal"));
  EXPECT_EQ(row.at("last_step").as_int(), 1);
}

TEST(ObjectivesOfSets, AreThoseOfEveryName) {
  const auto arm = testing::made_arm(
      "arm", "arm",
      {"phase.two.eval={data = [{name = \"b\", path = \"/held/b\"}, {name = \"c\", path = \"/held/c\", objective = "
       "{kind = \"prefix_lm\"}}]}"});
  EXPECT_EQ(objectives_of_sets(arm).dump(), R"({"a":"causal","b":"causal","c":"prefix_lm"})");
  EXPECT_EQ(objective_of_set(arm, "c"), "prefix_lm");
  EXPECT_EQ(objective_of_set(arm, "unknown"), "causal");
  EXPECT_EQ(words_unless_causal("prefix_lm"), " (scored by prefix_lm)");
  EXPECT_EQ(words_unless_causal("causal"), "");
}

}  // namespace
}  // namespace evenkeel::train
