#include "train/recipe_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/manifest.h"
#include "core/file_io.h"
#include "support/tiny_run.h"
#include "train/state.h"

namespace evenkeel::train {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> changes_of(const std::vector<std::string>& overrides) {
  return changed_keys(run_config_json(testing::tiny_config("/data")),
                      run_config_json(testing::tiny_config("/data", overrides)));
}

TEST(ChangedKeys, NamesKeysByPhaseWithBothValues) {
  EXPECT_THAT(changes_of({}), IsEmpty());
  EXPECT_THAT(changes_of({"train.seed=2"}), ElementsAre("train.seed: 1 -> 2"));
  EXPECT_THAT(changes_of({"phase.two.schedule.lr_max=0.5"}), ElementsAre("phase.two.schedule.lr_max: 0.01 -> 0.5"));
  EXPECT_THAT(changes_of({"model.router.renormalize=true"}), ElementsAre("model.router.renormalize: false -> true"));
  EXPECT_THAT(changes_of({"optimizer.betas=[0.9, 0.99]"}), ElementsAre("optimizer.betas: [0.9,0.95] -> [0.9,0.99]"));
}

TEST(ChangedKeys, NamesEvaluationAndCheckpoints) {
  EXPECT_THAT(changes_of({"train.checkpoint_every=\"2 steps\"", "train.keep_last=3"}),
              ElementsAre("train.checkpoint_every: \"0 steps\" -> \"2 steps\"", "train.keep_last: 0 -> 3"));
  EXPECT_THAT(changes_of({"phase.two.eval.data=[{name = \"h\", path = \"/h\"}]"}),
              Contains(HasSubstr("phase.two.eval.data")));
}

TEST(BearingOnParameters, LeavesOutEvaluationAndCheckpoints) {
  const auto bearing = [](const std::vector<std::string>& overrides) {
    return bearing_on_parameters(run_config_json(testing::tiny_config("/data", overrides)));
  };
  EXPECT_THAT(changed_keys(bearing({}), bearing({"train.checkpoint_every=\"2 steps\"", "train.keep_last=3",
                                                 "phase.one.eval.max_tokens=8",
                                                 "phase.two.eval.data=[{name = \"h\", path = \"/h\"}]"})),
              IsEmpty());
  EXPECT_THAT(changed_keys(bearing({}), bearing({"train.seed=2"})), ElementsAre("train.seed: 1 -> 2"));
}

// What a run of an earlier version did not write down is what it is now by default.
TEST(BearingOnParameters, FillsInWhatCameLater) {
  Json now = run_config_json(testing::tiny_config("/data"));
  Json before = now;
  ASSERT_NE(before["model"]["router"].find("renormalize_one"), nullptr);
  before["model"]["router"].erase("renormalize_one");
  ASSERT_NE(before["train"].find("logit_z_coefficient"), nullptr);
  before["train"].erase("logit_z_coefficient");
  for (Json& phase : before["phase"].as_array()) phase.erase("objective");
  EXPECT_EQ(bearing_on_parameters(before).dump(), bearing_on_parameters(now).dump());
  before["model"]["from"] = now["model"]["from"] = "runs/first";
  EXPECT_EQ(bearing_on_parameters(before), bearing_on_parameters(now));
  EXPECT_EQ(bearing_on_parameters(before).at("model").at("from"), Json("runs/first"));
}

TEST(ChangedKeys, NamesPlaces) {
  EXPECT_THAT(changes_of({"phase.two.data=[{name = \"b\", path = \"/moved/b\"}]"}),
              ElementsAre("phase.two.data.b.path: \"/data/b\" -> \"/moved/b\""));
  const Json with = Json::parse(R"({"model": {"from": "/a"}})", "t"),
             without = Json::parse(R"({"model": {"from": "/b"}})", "t");
  EXPECT_THAT(changed_keys(with, without), ElementsAre("model.from: \"/a\" -> \"/b\""));
}

// A phase or a source may have any name, also that of a key which does not count.
TEST(ChangedKeys, TellsNamesFromKeys) {
  const auto of = [](const char* name, double rate) {
    return Json::Object{{"phase", Json::Array{Json::Object{{"name", name},
                                                           {"schedule", Json::Object{{"lr_max", rate}}},
                                                           {"eval", Json::Object{{"max_tokens", rate}}}}}}};
  };
  for (const char* name : {"eval", "contents", "train.keep_last"})
    EXPECT_THAT(changed_keys(bearing_on_parameters(Json(of(name, 0.25))), bearing_on_parameters(Json(of(name, 0.5)))),
                ElementsAre(std::string("phase.") + name + ".schedule.lr_max: 0.25 -> 0.5"));
  for (const char* name : {"eval", "contents", "train.keep_last"})
    EXPECT_THAT(changed_keys(Json(of(name, 0.25)), Json(of(name, 0.5))),
                ElementsAre(std::string("phase.") + name + ".eval.max_tokens: 0.25 -> 0.5",
                            std::string("phase.") + name + ".schedule.lr_max: 0.25 -> 0.5"));
}

TEST(ChangedKeys, NamesAnotherOrder) {
  const Json before = Json::parse(R"({"phase": [{"name": "x"}, {"name": "y"}]})", "t"),
             after = Json::parse(R"({"phase": [{"name": "y"}, {"name": "x"}]})", "t");
  EXPECT_THAT(changed_keys(before, after), ElementsAre("phase: [x, y] -> [y, x]"));
}

TEST(ChangedKeys, NamesWhatCameAndWhatWent) {
  const Json before = Json::parse(R"({"a": 1, "phase": [{"name": "x", "steps": 3}]})", "t");
  const Json after = Json::parse(R"({"b": [1], "phase": [{"name": "x", "steps": 3}, {"name": "y", "steps": 4}]})", "t");
  EXPECT_THAT(changed_keys(before, after), ElementsAre("a: 1 -> absent", "phase: [x] -> [x, y]", "b: absent -> [1]",
                                                       "phase.y.name: absent -> \"y\"", "phase.y.steps: absent -> 4"));
}

class ChangesSince : public ::testing::Test {
 protected:
  void begin(const Json& resolved) const {
    write_file_atomically(folder_ / "resolved.json", resolved.dump());
    checkpoint::save_folder(folder_ / "checkpoints" / "step-00000001",
                            [](const auto& temporary) { write_file_atomically(temporary / "state.json", "{}"); });
  }
  testing::TemporaryFolder folder_;
  RunConfig config_ = testing::tiny_config("/data");
  InputData data_;
};

TEST_F(ChangesSince, AreNoneWithoutACheckpoint) {
  make_folders(folder_ / "checkpoints");
  EXPECT_THAT(changes_since(folder_.path(), config_, data_), IsEmpty());
  write_file_atomically(folder_ / "resolved.json", "{}");
  EXPECT_THAT(changes_since(folder_.path(), config_, data_), IsEmpty());
}

TEST_F(ChangesSince, AreNamedInTheRefusal) {
  make_folders(folder_ / "checkpoints");
  begin(run_config_json(testing::tiny_config("/data", {"train.seed=4", "optimizer.clip_norm=2"})));
  EXPECT_THAT(changes_since(folder_.path(), config_, data_),
              ElementsAre("optimizer.clip_norm: 2 -> 1", "train.seed: 4 -> 1"));
  EXPECT_THAT(testing::message_of<ConfigError>([&] { require_same_recipe(folder_.path(), config_, data_); }),
              ::testing::HasSubstr("(optimizer.clip_norm: 2 -> 1; train.seed: 4 -> 1)"));
}

TEST_F(ChangesSince, AKeyOfTheModelThatCameLaterHasItsDefault) {
  make_folders(folder_ / "checkpoints");
  Json resolved = run_config_json(config_);
  std::erase_if(resolved["model"].as_object(), [](const auto& entry) { return entry.first == "rotary_fraction"; });
  begin(resolved);
  EXPECT_THAT(changes_since(folder_.path(), config_, data_), IsEmpty());
  EXPECT_THAT(changes_since(folder_.path(), testing::tiny_config("/data", {"model.rotary_fraction=0.5"}), data_),
              ElementsAre("model.rotary_fraction: 1 -> 0.5"));
}

TEST_F(ChangesSince, AKeyOfTrainingThatCameLaterHasItsDefault) {
  make_folders(folder_ / "checkpoints");
  Json resolved = run_config_json(config_);
  resolved["train"].erase("logit_z_coefficient");
  begin(resolved);
  EXPECT_THAT(changes_since(folder_.path(), config_, data_), IsEmpty());
  EXPECT_THAT(changes_since(folder_.path(), testing::tiny_config("/data", {"train.logit_z_coefficient=0.5"}), data_),
              ElementsAre("train.logit_z_coefficient: 0 -> 0.5"));
}

TEST_F(ChangesSince, AKeyOfAPhaseThatCameLaterHasItsDefault) {
  make_folders(folder_ / "checkpoints");
  Json resolved = run_config_json(config_);
  for (Json& phase : resolved["phase"].as_array()) {
    phase.erase("objective");
    for (Json& set : phase["eval"]["data"].as_array()) set.erase("objective");
  }
  begin(resolved);
  EXPECT_THAT(changes_since(folder_.path(), config_, data_), IsEmpty());
}

// A run that began with the sets "a" and "b" of its folder, phase two from the checkpoint of another run.
class ChangedPlaces : public ChangesSince {
 protected:
  void SetUp() override {
    testing::write_tiny_sets(folder_);
    save_start("other", 1);
    save_start("run", 1);
    Json resolved = run_config_json(config_of({}));
    resolved["contents"] = contents_of({});
    write_file_atomically(folder_ / "run" / "resolved.json", resolved.dump());
  }
  // A checkpoint of the tiny model at step 1 that has drawn nothing, its parameters from `seed`.
  void save_start(const std::string& run, int64_t seed) const {
    const auto config = testing::tiny_config(folder_.path(), {"train.seed=" + std::to_string(seed)});
    const model::Transformer model(config.model);
    auto state = initial_state(config, model, at::kCPU);
    state.step = 1;
    make_folders(folder_ / run / "checkpoints");
    save_checkpoint(folder_ / run, state, config);
  }
  RunConfig config_of(const std::vector<std::string>& overrides) const {
    std::vector<std::string> all = {"phase.two.start.from=\"" + (folder_ / "other").string() + "\""};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return testing::tiny_config(folder_.path(), all);
  }
  Json contents_of(const std::vector<std::string>& overrides) const {
    const auto config = config_of(overrides);
    InputData data;
    data.open(config);
    const auto starts = check_starts(config, data).of_phases;
    return run_contents(config, data, starts, folder_ / "run");
  }
  // Each with eyes of its own: what was opened once is not looked at again.
  std::vector<std::string> changes(const std::vector<std::string>& overrides) const {
    InputData data;
    return changes_since(folder_ / "run", config_of(overrides), data);
  }
  std::vector<std::string> content_changes(const std::vector<std::string>& overrides) const {
    InputData data;
    data.trust(folder_ / "run");
    data.open(config_of(overrides));
    return changed_contents(folder_ / "run", config_of(overrides), data);
  }
  static std::string data_at(const std::string& name) {
    return "phase.one.data=[{name = \"a\", path = \"" + name + "\"}]";
  }
};

TEST_F(ChangedPlaces, CountWhereTheContentsAreOthers) {
  EXPECT_THAT(changes({}), IsEmpty());
  EXPECT_THAT(changes({data_at((folder_ / "b").string())}),
              ElementsAre(::testing::MatchesRegex("phase.one.data.a.path: \".*/a\" -> \".*/b\"")));
  EXPECT_THAT(changes({data_at("/nowhere/a")}), ElementsAre(::testing::EndsWith("-> \"/nowhere/a\"")));
  save_start("third", 2);
  EXPECT_THAT(changes({"phase.two.start.from=\"" + (folder_ / "third").string() + "\""}),
              ElementsAre(::testing::MatchesRegex("phase.two.start.from: \".*/other\" -> \".*/third\"")));
  EXPECT_THAT(testing::message_of<ConfigError>(
                  [&] { require_same_recipe(folder_ / "run", config_of({data_at("/nowhere/a")}), data_); }),
              ::testing::HasSubstr("phase.one.data.a.path"));
}

TEST_F(ChangedPlaces, DoNotCountWhereAFolderWasMoved) {
  for (const char* suffix : {".bin", ".idx"})
    fs::rename((folder_ / "a").string() + suffix, (folder_ / "moved").string() + suffix);
  fs::rename(folder_ / "other", folder_ / "moved-run");
  const std::vector<std::string> moved = {data_at((folder_ / "moved").string()),
                                          "phase.two.start.from=\"" + (folder_ / "moved-run").string() + "\""};
  EXPECT_THAT(changes(moved), IsEmpty());
  EXPECT_THAT(content_changes(moved), IsEmpty());
}

TEST_F(ChangedPlaces, OtherDataInTheSamePlaceCounts) {
  EXPECT_THAT(content_changes({}), IsEmpty());
  testing::write_tiny_data(folder_, "a", 161, 7);
  EXPECT_THAT(changes({}), IsEmpty());  // which looks at no data whose path is the same
  EXPECT_THAT(content_changes({}), ElementsAre("phase.one.data.a.path: other contents than the run began with"));
  EXPECT_THAT(testing::message_of<ConfigError>([&] { require_same_contents(folder_ / "run", config_of({}), data_); }),
              ::testing::HasSubstr("; need the same, or train --allow-change"));
  EXPECT_THAT(testing::message_of<ConfigError>(
                  [&] { require_same_contents(folder_ / "run", config_of({}), data_, "another --out"); }),
              ::testing::EndsWith("; need the same, or another --out"));
}

}  // namespace
}  // namespace evenkeel::train
