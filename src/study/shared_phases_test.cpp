#include "study/shared_phases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/manifest.h"
#include "core/json_lines.h"
#include "core/log.h"
#include "ops/device.h"
#include "study/jobs.h"
#include "support/tiny_run.h"
#include "train/trainer.h"

namespace evenkeel::study {
namespace {

using ::testing::ElementsAre;

ArmPlan arm_of(const std::string& name, const std::filesystem::path& folder,
               const std::vector<std::string>& overrides) {
  ArmPlan arm;
  arm.name = arm.group = name;
  arm.config = testing::tiny_config(folder, overrides);
  return arm;
}
size_t shared(const std::vector<std::string>& overrides) {
  return n_shared_phases(arm_of("a", "/data", {}), arm_of("b", "/data", overrides));
}

TEST(SharedPhases, EndWhereTheArmsDiffer) {
  EXPECT_EQ(shared({}), 2u);
  EXPECT_EQ(shared({"phase.two.replay={fraction = 0.25, from = \"one\"}"}), 1u);
  EXPECT_EQ(shared({"phase.two.steps=5"}), 1u);
  EXPECT_EQ(shared({"phase.one.steps=5"}), 0u);
  EXPECT_EQ(shared({"phase.one.schedule.lr_max=0.5"}), 0u);
}

TEST(SharedPhases, AreNoneForAnotherModelOptimizerSeedOrBatch) {
  for (const std::string change : {"model.top_k=1", "model.balance.coefficient=0.02", "model.router.renormalize=true",
                                   "optimizer.eps=1e-6", "train.seed=2", "train.micro_batch_size=2"})
    EXPECT_EQ(shared({change}), 0u) << change;
  // The rhythm of checkpoints changes no figure.
  EXPECT_EQ(shared({"train.checkpoint_every=\"2 steps\"", "train.keep_last=0"}), 2u);
}

StudyPlan plan_of(const std::vector<std::vector<std::string>>& arms) {
  StudyPlan plan;
  for (const auto& overrides : arms)
    plan.arms.push_back(arm_of(std::string(1, static_cast<char>('a' + plan.arms.size())), "/data", overrides));
  return plan;
}

TEST(SharedPhases, AnArmTakesThemFromTheFirstThatSharesTheMost) {
  const std::string replay = "phase.two.replay={fraction = 0.25, from = \"one\"}";
  const auto plan = plan_of({{}, {"train.seed=2"}, {replay}, {replay}});
  EXPECT_EQ(giver_of(plan, 0), std::nullopt);
  EXPECT_EQ(giver_of(plan, 1), std::nullopt);
  EXPECT_EQ(giver_of(plan, 2), 0u);
  EXPECT_EQ(giver_of(plan, 3), 2u);
}

// b starts its second phase at 2, c at 4, d shares both phases of c.
TEST(SharedPhases, AGiverKeepsTheStepsThatOthersStartFrom) {
  const auto at = [](int step) { return "phase.two.start={from = \"one\", step = " + std::to_string(step) + "}"; };
  const auto plan = plan_of({{}, {at(2)}, {at(4)}, {at(4)}, {"train.seed=2", at(3)}});
  EXPECT_THAT(steps_for_takers(plan, 0), ElementsAre(2, 4));
  EXPECT_THAT(steps_for_takers(plan, 1), ElementsAre());
  EXPECT_THAT(steps_for_takers(plan, 2), ElementsAre(4));
  EXPECT_THAT(steps_for_takers(plan, 4), ElementsAre());
}

class TakeSharedPhases : public ::testing::Test {
 protected:
  void SetUp() override {
    ops::set_threads(1);
    set_quiet(true);
    testing::write_tiny_sets(folder_);
    plan_.arms = {arm_of("a", folder_.path(), {}), arm_of("b", folder_.path(), {"phase.two.schedule.lr_max=0.5"}),
                  arm_of("other", folder_.path(), {"train.seed=2"})};
  }
  void train(size_t index) {
    train::TrainOptions options;
    options.run = arms() / plan_.arms[index].name;
    options.device = "cpu";
    options.resume = true;
    options.tensorboard = false;
    options.keep_steps = steps_for_takers(plan_, index);
    options.on_step = [](int64_t, int64_t, const std::string&) {};
    // As a study does: in a process of its own, since one that ran a backward pass may not fork (LibTorch with CUDA).
    run_jobs({{"train", {}, [&](const auto&) { train::train_run(plan_.arms[index].config, options); }}}, 1,
             [](size_t, int64_t, const std::string&) {});
  }
  std::filesystem::path arms() const { return folder_ / "arms"; }
  testing::TemporaryFolder folder_;
  StudyPlan plan_;
};

TEST_F(TakeSharedPhases, ALaterArmBeginsWhereTheEarlierOneWas) {
  train(0);
  EXPECT_EQ(take_shared_phases(plan_, 1, arms()), "a");
  EXPECT_THAT(checkpoint::saved_steps(arms() / "b"), ElementsAre(6));
  checkpoint::verify_folder(arms() / "b" / "checkpoints" / "step-00000006", /*deep=*/true);
  const auto lines = read_json_lines(arms() / "b" / "metrics.jsonl");
  EXPECT_EQ(lines.back().at("step").as_int(), 6);
  EXPECT_EQ(lines.back().at("phase").as_string(), "one");
  EXPECT_EQ(take_shared_phases(plan_, 1, arms()), "");  // it has them now
  EXPECT_EQ(take_shared_phases(plan_, 2, arms()), "");  // of another seed

  // The arm that took them ends as one that computed them itself.
  train(1);
  const auto taken = read_file(arms() / "b" / "checkpoints" / "step-00000010" / "model.safetensors");
  std::filesystem::remove_all(arms() / "b");
  train(1);
  EXPECT_EQ(read_file(arms() / "b" / "checkpoints" / "step-00000010" / "model.safetensors"), taken);
}

TEST_F(TakeSharedPhases, AStepInsideOfThemIsSavedForTheArmThatStartsThere) {
  plan_.arms[1] = arm_of("b", folder_.path(), {"phase.two.start={from = \"one\", step = 2}"});
  for (auto& arm : plan_.arms) arm.config.train.keep_last = 1;
  train(0);
  EXPECT_THAT(checkpoint::saved_steps(arms() / "a"), ElementsAre(2, 6, 10));
  EXPECT_EQ(take_shared_phases(plan_, 1, arms()), "a");
  EXPECT_THAT(checkpoint::saved_steps(arms() / "b"), ElementsAre(2, 6));
  train(1);
  const auto taken = read_file(arms() / "b" / "checkpoints" / "step-00000010" / "model.safetensors");
  std::filesystem::remove_all(arms() / "b");
  train(1);
  EXPECT_EQ(read_file(arms() / "b" / "checkpoints" / "step-00000010" / "model.safetensors"), taken);
}

// As where a finished study gets another arm: the giver was trained without knowing of it.
TEST_F(TakeSharedPhases, NothingIsTakenFromAnArmThatLacksAStepToStartFrom) {
  train(0);
  plan_.arms[1] = arm_of("b", folder_.path(), {"phase.two.start={from = \"one\", step = 2}"});
  EXPECT_EQ(take_shared_phases(plan_, 1, arms()), "");
  EXPECT_FALSE(std::filesystem::exists(arms() / "b"));
  train(1);
  EXPECT_EQ(checkpoint::saved_steps(arms() / "b").back(), 10);
}

TEST_F(TakeSharedPhases, NothingIsTakenFromAnArmThatHasNotComeThatFar) {
  EXPECT_EQ(take_shared_phases(plan_, 0, arms()), "");
  EXPECT_EQ(take_shared_phases(plan_, 1, arms()), "");
  EXPECT_FALSE(std::filesystem::exists(arms() / "b"));
}

}  // namespace
}  // namespace evenkeel::study
