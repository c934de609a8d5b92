#include "train/resume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/manifest.h"
#include "core/file_io.h"
#include "core/json_lines.h"
#include "support/made_lines.h"
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
    for (const int64_t step : {6, 10})
      std::filesystem::remove_all(folder_ / "run" / "checkpoints" / checkpoint::step_folder_name(step));
  }
  RunConfig config(const std::vector<std::string>& overrides = {}) const {
    std::vector<std::string> all = {"phase.one.data=[" + a() + ", " + b() + "]"};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return testing::tiny_config(folder_.path(), all);
  }
  std::string source(const std::string& name, const std::string& more = "") const {
    return "{name = \"" + name + "\", path = \"" + (folder_ / name).string() + "\"" + more + "}";
  }
  std::string a(const std::string& more = "") const { return source("a", more); }
  std::string b() const { return source("b"); }
  std::filesystem::path run() const { return folder_ / "run"; }
  std::optional<Resume> resume(const std::vector<std::string>& overrides = {}, bool is_allowed = true) const {
    const std::vector<std::string> allowed = is_allowed ? overrides : std::vector<std::string>{};
    const auto changed = config(overrides);
    InputData data;
    data.open(changed);
    const auto starts = check_starts(changed, data).of_phases;
    return find_resume(changed, {run(), at::kCPU, allowed}, starts, data);
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
  std::filesystem::rename(run() / "checkpoints", folder_ / "kept");
  EXPECT_THAT(message_of<CheckpointError>([&] { resume(); }),
              HasSubstr("metrics.jsonl with 10 steps and no checkpoint"));
  std::filesystem::remove_all(run());
  EXPECT_FALSE(resume());
}

// In the middle of a phase the moments are needed, and at its end where the next one keeps them.
TEST_F(ResumeTest, MomentsOfAnotherOptimizerAreRefusedUnlessTheNextPhaseResetsThem) {
  const std::string other = "optimizer={kind = \"adafactor\"}", reset = "phase.two.start={optimizer = \"reset\"}";
  EXPECT_THAT(refusal({other, reset}), HasSubstr("got optimizer.kind = 'adafactor', and the moments of 'adamw'"));
  const auto at_end = run() / "checkpoints" / checkpoint::step_folder_name(6);
  auto state = resume()->state;
  state.step = state.phase_step = 6;
  save_checkpoint(run(), state, config());
  ASSERT_TRUE(std::filesystem::exists(at_end));
  EXPECT_THAT(refusal({other}), HasSubstr("got optimizer.kind = 'adafactor', and the moments of 'adamw'"));
  const auto found = resume({other, reset});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->state.step, 6);
  EXPECT_EQ(found->state.optimizer.kind, "adafactor");
  EXPECT_EQ(resume({reset})->state.optimizer.kind, "adamw");
}

// The run has a first phase of 6 steps and no checkpoints between, unless resolved.json is changed.
TEST_F(ResumeTest, StartsOverOnlyWhereThereNeverWasACheckpoint) {
  std::filesystem::remove_all(run() / "checkpoints");
  const auto refusal = [&] { return message_of<CheckpointError>([&] { resume(); }); };
  EXPECT_THAT(refusal(), HasSubstr("results.json says"));
  std::filesystem::remove(run() / "results.json");
  EXPECT_THAT(refusal(), HasSubstr("second phase"));
  const std::string lines = read_file(run() / "metrics.jsonl"), resolved = read_file(run() / "resolved.json");
  const auto cut = [&](int64_t last) {  // as a kill right after the line of that step leaves it
    std::string kept;
    for (const auto line : whole_lines(lines)) {
      const Json json = Json::parse(line, "line");
      if (json.at("step").as_int() <= last && (json.find("loss") != nullptr || json.at("step").as_int() < last))
        kept += std::string(line) + "\n";
    }
    write_file_atomically(run() / "metrics.jsonl", kept);
  };
  cut(6);  // the end of the phase: its line comes before its checkpoint
  EXPECT_FALSE(resume());
  Json changed = Json::parse(resolved, "resolved");
  changed["train"]["checkpoint_every"] = "64 tokens";  // 2 steps of 4 sequences of 8
  write_file_atomically(run() / "resolved.json", changed.dump());
  for (const int64_t last : {0, 1, 2}) {
    cut(last);
    EXPECT_FALSE(resume()) << last;
  }
  const std::string two = read_file(run() / "metrics.jsonl");
  write_file_atomically(run() / "metrics.jsonl", two + testing::text_of(testing::made_evaluation(
                                                           2, "one", {})));  // an evaluation comes after the checkpoint
  EXPECT_THAT(refusal(), HasSubstr("every 2"));
  cut(3);
  EXPECT_THAT(refusal(), HasSubstr("metrics.jsonl with 3 steps"));
  std::filesystem::remove(run() / "resolved.json");  // a study copied these lines, and was killed before the checkpoint
  EXPECT_FALSE(resume());
}

TEST_F(ResumeTest, RemembersCheckpointsOfAnyStepByTheLogAndByNames) {
  std::filesystem::remove_all(run() / "checkpoints");
  std::filesystem::remove(run() / "results.json");
  const auto refusal = [&] { return message_of<CheckpointError>([&] { resume(); }); };
  write_file_atomically(run() / "metrics.jsonl", testing::text_of(testing::made_step(1, "one", {0.5, 0.5})));
  write_file_atomically(run() / "log.txt", "");
  EXPECT_FALSE(resume());
  write_file_atomically(run() / "log.txt",
                        "evenkeel: phase one\nevenkeel: out of time after 1 hours: saved step 1 of 10\n");
  EXPECT_THAT(refusal(), HasSubstr("saved step 1 of 10"));
  write_file_atomically(run() / "log.txt", "");
  std::filesystem::create_directories(run() / "checkpoints" / "step-by-step");
  EXPECT_FALSE(resume());
  std::filesystem::create_directories(run() / "checkpoints" / "step-00000003.bak");
  EXPECT_THAT(refusal(), HasSubstr("step-00000003.bak"));
}

// As a trainer does that looked at the recipe before the leftover of a killed save was in its place again.
TEST_F(ResumeTest, RefusesAChangeThatNobodyAllowed) {
  EXPECT_THAT(message_of<ConfigError>([&] { resume({"phase.two.steps=5"}, /*is_allowed=*/false); }),
              HasSubstr("phase.two.steps: 4 -> 5"));
  EXPECT_TRUE(resume({}, /*is_allowed=*/false));
}

TEST_F(ResumeTest, AChangedMixtureCountsFromHereOnAndIsRemembered) {
  const auto found = resume({"phase.one.data=[" + b() + ", " + a(", weight = 3") + "]"});
  for (const auto& source : found->state.loader.mixture) EXPECT_EQ(source.count, 0);
  EXPECT_TRUE(found->state.records.back().has_changed);
  EXPECT_EQ(found->state.records.back().sources[1].spec.weight, 3.0);
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
  EXPECT_THAT(refusal({seen, "phase.one.data=[" + a() + "]"}),
              HasSubstr("phase.one.data: got a mixture that was changed"));
}

}  // namespace
}  // namespace evenkeel::train
