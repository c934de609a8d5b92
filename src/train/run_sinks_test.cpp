#include "train/run_sinks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/trained_runs.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class RunSinksTest : public testing::RunTest {};

TEST_F(RunSinksTest, AWatcherGetsEachStepInPlaceOfTheBar) {
  auto watched = options("run");
  watched.tensorboard = true;
  std::vector<std::string> texts;
  watched.on_step = [&](int64_t step, int64_t n_steps, const std::string& text) {
    EXPECT_EQ(step, static_cast<int64_t>(texts.size()) + 1);
    EXPECT_EQ(n_steps, 10);
    texts.push_back(text);
  };
  train_run(config(), watched);
  ASSERT_EQ(texts.size(), 10u);
  EXPECT_THAT(texts[5], HasSubstr("one 6/6"));
  EXPECT_THAT(texts[6], HasSubstr("two 1/4"));
  std::string events;
  for (const auto& entry : fs::directory_iterator(folder_ / "run" / "tensorboard")) events += read_file(entry.path());
  for (const char* tag : {"train/loss", "eval/held/loss"}) EXPECT_THAT(events, HasSubstr(tag));
}

}  // namespace
}  // namespace evenkeel::train
