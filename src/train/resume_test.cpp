#include "train/resume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/manifest.h"
#include "support/tiny_run.h"
#include "train/trainer.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

// A run of two phases, 6 and 4 steps, that was stopped after step 3.
class ResumeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::write_tiny_sets(folder_);
    TrainOptions options;
    options.run = folder_ / "run";
    options.device = "cpu";
    options.tensorboard = false;
    options.keep_steps = {3};
    options.on_step = [](int64_t, int64_t, const std::string&) {};
    train_run(config(), options);
    for (const int64_t step : {6, 10}) std::filesystem::remove_all(folder_ / "run" / "checkpoints" / checkpoint::step_folder_name(step));
  }
  RunConfig config(const std::vector<std::string>& overrides = {}) const {
    std::vector<std::string> all = {"phase.one.data=[" + a() + ", " + b() + "]"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return testing::tiny_config(folder_.path(), all);
  }
  std::string source(const std::string& name, const std::string& more = "") const { return "{name = \"" + name + "\", path = \"" + (folder_ / name).string() + "\"" + more + "}"; }
  std::string a(const std::string& more = "") const { return source("a", more); }
  std::string b() const { return source("b"); }
  std::optional<Resume> resume(const std::vector<std::string>& overrides = {}) const {
    const auto changed = config(overrides);
    InputData data;
    data.open(changed);
    const auto starts = check_starts(changed, data);
    return find_resume(changed, {folder_ / "run", at::kCPU, overrides}, starts, data);
  }
  std::string refusal(const std::vector<std::string>& overrides) const {
    return message_of<ConfigError>([&] { resume(overrides); });
  }
  testing::TemporaryFolder folder_;
};

TEST_F(ResumeTest, IsTheLastWholeCheckpointAsItWasSaved) {
  const auto found = resume();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state.step, 3);
  EXPECT_EQ(found->state.phase_step, 3);
  EXPECT_TRUE(found->damaged.empty());
  ASSERT_EQ(found->state.loader.mixture.size(), 2U);
  EXPECT_EQ(found->state.loader.mixture[0].count + found->state.loader.mixture[1].count, 12);
  EXPECT_FALSE(found->state.records.back().has_changed);
  std::filesystem::remove_all(folder_ / "run" / "checkpoints");
  EXPECT_FALSE(resume());
}

TEST_F(ResumeTest, AChangedMixtureCountsFromHereOnAndIsRemembered) {
  const auto found = resume({"phase.one.data=[" + b() + ", " + a(", weight = 3") + "]"});
  for (const auto& source : found->state.loader.mixture) EXPECT_EQ(source.count, 0);
  EXPECT_TRUE(found->state.records.back().has_changed);
  EXPECT_EQ(found->state.records.back().sources[1].weight, 3.0);
  const auto swapped = resume({"phase.one.data=[" + b() + ", " + a() + "]"});
  EXPECT_FALSE(swapped->state.records.back().has_changed);
  EXPECT_EQ(swapped->state.loader.mixture[0].count + swapped->state.loader.mixture[1].count, 12);
}

TEST_F(ResumeTest, RefusesWhatCannotBeExactWithItsKey) {
  EXPECT_THAT(refusal({"train.seed=2"}), HasSubstr("train.seed: got 2; need 1"));
  EXPECT_THAT(refusal({"train.sequence_length=4"}), HasSubstr("train.sequence_length: got 4; need 8"));
  EXPECT_THAT(refusal({"phase.one.steps=2"}), HasSubstr("phase.one.steps=2"));  // the change, as it was passed in
  EXPECT_THAT(refusal({"phase.one.shuffle=false"}), HasSubstr("shuffle = false"));
  const std::string seen = "phase.two.replay={fraction = 0.5, from = \"one\", mode = \"seen\"}";
  EXPECT_TRUE(resume({seen}));
  EXPECT_THAT(refusal({seen, "phase.one.data=[" + a() + "]"}), HasSubstr("phase.one.data: got a mixture that was changed"));
}

}  // namespace
}  // namespace evenkeel::train
