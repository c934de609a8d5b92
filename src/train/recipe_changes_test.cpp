#include "train/recipe_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/manifest.h"
#include "core/file_io.h"
#include "support/tiny_run.h"

namespace evenkeel::train {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> changes_of(const std::vector<std::string>& overrides) {
  return changed_keys(run_config_json(testing::tiny_config("/data")), run_config_json(testing::tiny_config("/data", overrides)));
}

TEST(ChangedKeys, NamesKeysByPhaseWithBothValues) {
  EXPECT_THAT(changes_of({}), IsEmpty());
  EXPECT_THAT(changes_of({"train.seed=2"}), ElementsAre("train.seed: 1 -> 2"));
  EXPECT_THAT(changes_of({"phase.two.schedule.lr_max=0.5"}), ElementsAre("phase.two.schedule.lr_max: 0.01 -> 0.5"));
  EXPECT_THAT(changes_of({"model.router.renormalize=true"}), ElementsAre("model.router.renormalize: false -> true"));
  EXPECT_THAT(changes_of({"optimizer.betas=[0.9, 0.99]"}), ElementsAre("optimizer.betas: [0.9,0.95] -> [0.9,0.99]"));
}

TEST(ChangedKeys, LeavesOutWhatDoesNotBearOnTheParameters) {
  EXPECT_THAT(changes_of({"train.checkpoint_every=\"2 steps\"", "train.keep_last=0", "phase.one.eval.max_tokens=8", "phase.two.data=[{name = \"b\", path = \"/moved/b\"}]"}), IsEmpty());
  const Json with = Json::parse(R"({"model": {"from": "/a"}})", "t"), without = Json::parse(R"({"model": {"from": "/b"}})", "t");
  EXPECT_THAT(changed_keys(with, without), IsEmpty());
}

TEST(ChangedKeys, NamesWhatCameAndWhatWent) {
  const Json before = Json::parse(R"({"a": 1, "phase": [{"name": "x", "steps": 3}]})", "t");
  const Json after = Json::parse(R"({"b": [1], "phase": [{"name": "x", "steps": 3}, {"name": "y", "steps": 4}]})", "t");
  EXPECT_THAT(changed_keys(before, after), ElementsAre("a: 1 -> absent", "b: absent -> [1]", "phase.y.name: absent -> \"y\"", "phase.y.steps: absent -> 4"));
}

class ChangesSince : public ::testing::Test {
 protected:
  void begin(const Json& resolved) const {
    write_file_atomically(folder_ / "resolved.json", resolved.dump());
    checkpoint::save_folder(folder_ / "checkpoints" / "step-00000001", [](const auto& temporary) { write_file_atomically(temporary / "state.json", "{}"); });
  }
  testing::TemporaryFolder folder_;
  RunConfig config_ = testing::tiny_config("/data");
};

TEST_F(ChangesSince, AreNoneWithoutACheckpoint) {
  make_folders(folder_ / "checkpoints");
  EXPECT_THAT(changes_since(folder_.path(), config_), IsEmpty());
  write_file_atomically(folder_ / "resolved.json", "{}");
  EXPECT_THAT(changes_since(folder_.path(), config_), IsEmpty());
}

TEST_F(ChangesSince, AreNamedInTheRefusal) {
  make_folders(folder_ / "checkpoints");
  begin(run_config_json(testing::tiny_config("/data", {"train.seed=4", "optimizer.clip_norm=2"})));
  EXPECT_THAT(changes_since(folder_.path(), config_), ElementsAre("optimizer.clip_norm: 2 -> 1", "train.seed: 4 -> 1"));
  EXPECT_THAT(testing::message_of<ConfigError>([&] { require_same_recipe(folder_.path(), config_); }), ::testing::HasSubstr("(optimizer.clip_norm: 2 -> 1; train.seed: 4 -> 1)"));
}

TEST_F(ChangesSince, AKeyOfTheModelThatCameLaterHasItsDefault) {
  make_folders(folder_ / "checkpoints");
  Json resolved = run_config_json(config_);
  std::erase_if(resolved["model"].as_object(), [](const auto& entry) { return entry.first == "rotary_fraction"; });
  begin(resolved);
  EXPECT_THAT(changes_since(folder_.path(), config_), IsEmpty());
  EXPECT_THAT(changes_since(folder_.path(), testing::tiny_config("/data", {"model.rotary_fraction=0.5"})), ElementsAre("model.rotary_fraction: 1 -> 0.5"));
}

}  // namespace
}  // namespace evenkeel::train
