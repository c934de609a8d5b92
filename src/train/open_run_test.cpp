#include "train/open_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/json_lines.h"
#include "support/trained_runs.h"

namespace evenkeel::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

class OpenRunTest : public testing::RunTest {};

TEST_F(OpenRunTest, ResumePassesOverADamagedCheckpoint) {
  train("whole", {"train.checkpoint_every=\"2 steps\"", "train.keep_last=0"});
  auto stopping = options("stopped");
  stopping.max_hours = 1e-12;
  stopping.resume = true;
  const auto with = config({"train.checkpoint_every=\"2 steps\"", "train.keep_last=0"});
  for (int i = 0; i < 5; ++i) train_run(with, stopping);
  const auto damaged = checkpoint("stopped", 5) / "model.safetensors";
  std::string bytes = read_file(damaged);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file_atomically(damaged, bytes);
  train("stopped", {"train.checkpoint_every=\"2 steps\"", "train.keep_last=0"}, /*resume=*/true);
  expect_same_end("whole", "stopped");
}

TEST_F(OpenRunTest, ADamagedCheckpointIsPutAsideAndAFileThatIsNotListedIsNoDamage) {
  train("run");
  for (const int64_t step : {6, 10}) write_file_atomically(checkpoint("run", step) / ".DS_Store", "x");
  EXPECT_EQ(train("run", {"phase.two.steps=5"}, /*resume=*/true, /*allow_change=*/true), TrainOutcome::finished);
  EXPECT_EQ(read_json_lines(folder_ / "run" / "metrics.jsonl").size(),
            16u);  // of 11 steps, three evaluations and two saturations
  EXPECT_TRUE(std::filesystem::exists(checkpoint("run", 10) / ".DS_Store"));
  for (const int64_t step : {10, 11}) write_file_atomically(checkpoint("run", step) / "model.safetensors", "short");
  std::filesystem::remove(folder_ / "run" / "results.json");
  EXPECT_EQ(train("run", {"phase.two.steps=5"}, /*resume=*/true), TrainOutcome::finished);
  EXPECT_EQ(read_file(folder_ / "run" / "checkpoints" / "damaged-step-00000011" / "model.safetensors"), "short");
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "run"), ElementsAre(6, 11));

  // None whole: to start over would lose what may be restored.
  for (const int64_t step : {6, 11}) write_file_atomically(checkpoint("run", step) / "model.safetensors", "short");
  std::filesystem::remove(folder_ / "run" / "results.json");
  const std::string metrics = read_file(folder_ / "run" / "metrics.jsonl");
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { train("run", {"phase.two.steps=5"}, /*resume=*/true); }),
              HasSubstr("got 4 checkpoints, none of them whole"));
  EXPECT_EQ(read_file(folder_ / "run" / "metrics.jsonl"), metrics);
}

TEST_F(OpenRunTest, APhaseFromAStepThatWasNotSavedIsRefusedBeforeWriting) {
  train("run");
  const std::string resolved = read_file(folder_ / "run" / "resolved.json");
  ConfigNode recipe = testing::tiny_recipe(folder_.path());
  ConfigNode third = recipe.find("phase")->list().back();
  third.set("name", {std::string("three"), "r.toml", ""});
  third.set("start", parse_toml("from = \"one\"\nstep = 3\n", "r.toml", folder_.path().string()));
  recipe.find("phase")->list().push_back(third);
  auto with = options("run");
  with.resume = with.allow_change = true;
  const auto refused = message_of<ConfigError>([&] { train_run(read_run_config(recipe), with); });
  EXPECT_THAT(
      refused,
      HasSubstr(
          "got a start from step 3, which the run has passed and not saved; need one of its checkpoints (6, 10)"));
  EXPECT_EQ(read_file(folder_ / "run" / "resolved.json"), resolved);
  EXPECT_TRUE(is_finished(folder_ / "run", config()));
}

TEST_F(OpenRunTest, CheckpointsWithoutTheirRecipeAreNotGoneOnFrom) {
  train("run");
  std::filesystem::remove(folder_ / "run" / "resolved.json");
  EXPECT_THAT(message_of<ConfigError>([&] { train("run", {"train.seed=2"}, /*resume=*/true); }),
              HasSubstr("resolved.json: got no such file, and checkpoints"));
}

TEST_F(OpenRunTest, AFinishedRunIsLeftWithoutALookAtItsData) {
  train("run");
  const auto metrics = read_file(folder_ / "run" / "metrics.jsonl");
  for (const char* name : {"a.bin", "b.bin", "a-heldout.bin"}) std::filesystem::remove(folder_ / name);
  EXPECT_EQ(train("run", {}, /*resume=*/true), TrainOutcome::finished);
  EXPECT_EQ(read_file(folder_ / "run" / "metrics.jsonl"), metrics);
  EXPECT_THAT(message_of<ConfigError>([&] { train("run", {"train.seed=2"}, /*resume=*/true); }),
              HasSubstr("train.seed: 1 -> 2"));
  std::filesystem::remove(folder_ / "run" /
                          "results.json");  // now there is something to do, and the data must be right first
  EXPECT_THROW(train("run", {}, /*resume=*/true), DataError);
}

TEST_F(OpenRunTest, RefusesAFolderInUseOrNotEmpty) {
  train("run");
  EXPECT_THAT(message_of<ConfigError>([&] { train("run"); }), HasSubstr("not empty"));
  folder_.write("file", "x");
  EXPECT_THAT(message_of<ConfigError>([&] { train("file"); }), HasSubstr("got a file"));
  auto nested = options("locked");
  std::string message;
  nested.on_step = [&](int64_t step, int64_t, const std::string&) {
    if (step == 1) message = message_of<ConfigError>([&] { train("locked", {}, /*resume=*/true); });
  };
  train_run(config(), nested);
  EXPECT_THAT(message, HasSubstr("another process is writing"));
}

TEST_F(OpenRunTest, RefusesAChangedRecipeUnlessAllowed) {
  train("run");
  const auto message = message_of<ConfigError>([&] { train("run", {"phase.two.steps=5"}, /*resume=*/true); });
  EXPECT_THAT(message, HasSubstr("phase.two.steps"));
  EXPECT_EQ(train("run", {"phase.two.steps=5"}, true, /*allow_change=*/true), TrainOutcome::finished);
  EXPECT_EQ(checkpoint::saved_steps(folder_ / "run").back(), 11);
}

TEST_F(OpenRunTest, AFinishedRunIsLeftAsItIs) {
  train("run");
  const auto lines = read_file(folder_ / "run" / "metrics.jsonl");
  const auto when = std::filesystem::last_write_time(folder_ / "run" / "results.json");
  EXPECT_EQ(train("run", {}, /*resume=*/true), TrainOutcome::finished);
  EXPECT_EQ(read_file(folder_ / "run" / "metrics.jsonl"), lines);
  EXPECT_EQ(std::filesystem::last_write_time(folder_ / "run" / "results.json"), when);
}

TEST_F(OpenRunTest, ResumeRefusesOtherDataAndOtherStarts) {
  auto stopping = options("run");
  stopping.max_hours = 1e-12;
  train_run(config(), stopping);
  const std::string other = "phase.one.data=[{name = \"a\", path = \"" + (folder_ / "b").string() + "\"}]";
  EXPECT_THAT(message_of<ConfigError>([&] { train("run", {other}, /*resume=*/true); }),
              HasSubstr("phase.one.data.a.path"));
  const auto kept = read_file(folder_ / "a.bin");
  testing::write_tiny_data(folder_, "a", 161, 9);
  EXPECT_THAT(message_of<ConfigError>([&] { train("run", {}, /*resume=*/true); }),
              HasSubstr("phase.one.data.a.path: other contents"));
  write_file_atomically(folder_ / "a.bin", kept);
  std::filesystem::create_directory(folder_ / "moved");
  for (const char* name : {"a.bin", "a.idx"}) std::filesystem::rename(folder_ / name, folder_ / "moved" / name);
  EXPECT_EQ(train("run", {"phase.one.data=[{name = \"a\", path = \"" + (folder_ / "moved" / "a").string() + "\"}]"},
                  /*resume=*/true),
            TrainOutcome::finished);
}

TEST_F(OpenRunTest, ResumeNeedsTheMetricsOfItsCheckpoint) {
  train("run");
  for (const char* name : {"metrics.jsonl", "results.json"}) std::filesystem::remove(folder_ / "run" / name);
  EXPECT_THAT(message_of<DataError>([&] { train("run", {}, /*resume=*/true); }),
              HasSubstr("metrics.jsonl: got lines up to step 0; need those up to step 10"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run" / "results.json"));
}

TEST_F(OpenRunTest, RefusesDataThatDoesNotFitBeforeWriting) {
  EXPECT_THROW(train("run", {"phase.two.data=[{name = \"b\", path = \"/nowhere/b\"}]"}), DataError);
  EXPECT_THROW(train("run", {"model.vocab_size=8"}), DataError);
  EXPECT_THAT(message_of<ConfigError>([&] { train("run", {"phase.two.replay={fraction = 0.5, from = \"three\"}"}); }),
              HasSubstr("three"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
}

TEST_F(OpenRunTest, AFileWithTheNameOfACheckpointIsFoundBeforeTraining) {
  auto stopping = options("run");
  stopping.max_hours = 1e-12;
  train_run(config(), stopping);
  folder_.write("run/checkpoints/step-00000006", "mine");
  EXPECT_THAT(message_of<ConfigError>([&] { train("run", {}, /*resume=*/true); }),
              HasSubstr("step-00000006: got a file where a checkpoint is to be written"));
  EXPECT_EQ(read_json_lines(folder_ / "run" / "metrics.jsonl").size(), 1u);
}

TEST_F(OpenRunTest, ARecipeOfTheSameValuesKeepsItsOwnersNotes) {
  auto stopping = options("run");
  stopping.max_hours = 1e-12;
  train_run(config(), stopping);
  folder_.write("run/recipe.toml", "# a note\n");
  EXPECT_EQ(train("run", {}, /*resume=*/true), TrainOutcome::finished);
  EXPECT_EQ(read_file(folder_ / "run" / "recipe.toml"), "# a note\n");
  EXPECT_EQ(train("run", {"phase.two.steps=5"}, true, /*allow_change=*/true), TrainOutcome::finished);
  EXPECT_EQ(read_file(folder_ / "run" / "recipe.toml"), "# a recipe\n");
}

}  // namespace
}  // namespace evenkeel::train
