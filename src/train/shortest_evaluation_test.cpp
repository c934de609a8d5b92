#include "train/shortest_evaluation.h"

#include <cmath>

#include <gtest/gtest.h>

#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

TEST(ShortestEvaluation, IsTheLineOfARunForASetOfOneScoredToken) {
  const testing::TemporaryFolder folder;
  setenv("TMPDIR", folder.path().c_str(), 1);
  const auto config =
      testing::tiny_config("/data", {"phase.one.eval={data = [{name = \"held\", path = \"nowhere\"}]}"});
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  ShortestEvaluation evaluation(config, model, state);
  const auto line = evaluation.once();
  unsetenv("TMPDIR");
  EXPECT_TRUE(folder.names().empty());  // nothing has a name while it works
  ASSERT_EQ(line.eval.size(), 1U);
  const auto* result = line.find("shortest");
  EXPECT_EQ(result->tokens, 1);
  EXPECT_EQ(result->routing.size(), 2U);  // two layers
  EXPECT_GT(result->loss, 0);
  EXPECT_LT(result->loss, 2 * std::log(16));  // an untrained model of 16 tokens
  EXPECT_EQ(record::to_json(evaluation.once()), record::to_json(line));
}

TEST(ShortestEvaluation, SaysWhereItsFilesCannotBe) {
  const testing::TemporaryFolder folder;
  const auto config = testing::tiny_config("/data");
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  setenv("TMPDIR", folder.write("file", "").c_str(), 1);
  EXPECT_ANY_THROW(ShortestEvaluation(config, model, state));
  unsetenv("TMPDIR");
}

}  // namespace
}  // namespace evenkeel::train
