#include "train/shortest_evaluation.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/run_lines.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

TEST(ShortestEvaluation, IsTheLineOfARunForASetOfOneScoredToken) {
  const testing::TemporaryFolder folder;
  setenv("TMPDIR", folder.path().c_str(), 1);
  const auto config = testing::tiny_config("/data", {"phase.one.eval={data = [{name = \"held\", path = \"nowhere\"}]}"});
  const model::Transformer model(config.model);
  auto state = initial_state(config, model, at::kCPU);
  ShortestEvaluation evaluation(config, model, state);
  const Json line = evaluation.once();
  unsetenv("TMPDIR");
  EXPECT_TRUE(folder.names().empty());  // nothing has a name while it works
  ASSERT_EQ(line.at("eval").size(), 1U);
  const Json& result = line.at("eval").at("shortest");
  EXPECT_EQ(result.at("tokens").as_int(), 1);
  EXPECT_EQ(result.at("routing").size(), 2U);  // two layers
  EXPECT_GT(result.at("loss").as_double(), 0);
  EXPECT_LT(result.at("loss").as_double(), 2 * std::log(16));  // an untrained model of 16 tokens
  RunLines().add(line, "the line");                            // it is one of a metrics.jsonl
  EXPECT_EQ(evaluation.once(), line);
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
