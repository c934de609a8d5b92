#include "train/starting_state.h"

#include <ATen/ops/bincount.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/export.h"
#include "checkpoint/import.h"
#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "core/json_lines.h"
#include "support/gradients.h"
#include "support/trained_runs.h"
#include "train/token_counts.h"

namespace evenkeel::train {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

class StartingStateTest : public testing::RunTest {};

// Phase two hardly moves the parameters: what changes the choices is the bias, which each checkpoint has its own of.
TEST_F(StartingStateTest, SaturationRunsEachCheckpointWithItsRouterStates) {
  const auto saturation_with = [&](const std::string& run, const std::string& keys) {
    train(run, {"model.balance={loss = []}", "model.router={kind = \"loss_free\", rate = 0.5" + keys + "}",
                "phase.two.schedule={kind = \"constant\", lr_max = 1e-12}",
                "phase.two.steps=3"});  // odd: the choices swing to and fro at this rate
    double sum = 0;
    for (const auto& line : read_json_lines(folder_ / run / "metrics.jsonl"))
      if (const Json* sets = line.find("saturation"))
        for (const auto& row : sets->at("held").as_array()) sum += row.at("saturation").as_double();
    return sum / 4;  // two layers, k = 1 and 2
  };
  EXPECT_EQ(saturation_with("still", ", rate_until = \"6 steps\""), 1.0);
  EXPECT_LT(saturation_with("moving", ""), 0.95);
}

TEST_F(StartingStateTest, AHashRouterIsBalancedOverTheDataOfTheFirstPhase) {
  const std::vector<std::string> overrides = {"model.router={kind = \"hash\", by = \"frequency\"}",
                                              "model.balance={loss = []}", "model.top_k=1"};
  train("run", overrides);
  const auto with = config(overrides);
  const model::Transformer model(with.model);
  const auto state = load_checkpoint(checkpoint("run", 10), with, model);
  data::Datasets datasets;
  const auto counts = count_tokens(with.phases[0].data, with.model.vocab_size, datasets);
  ASSERT_EQ(counts.sum().item<int64_t>(), 161);
  const auto need = model.initial_router_states(1, counts), without = model.initial_router_states(1);
  for (size_t layer = 0; layer < 2; ++layer) {
    const auto& table = state.router_states[layer].at("table");
    EXPECT_TRUE(testing::same_bits(table, need[layer].at("table")));
    EXPECT_FALSE(testing::same_bits(table, without[layer].at("table")));
    const auto load = at::bincount(table, counts, 4);
    EXPECT_LE((load.max() - load.min()).item<double>(), counts.max().item<double>());
  }
}

TEST_F(StartingStateTest, WhatWasSeenIsWhatTheStartHadSeen) {
  const std::string replay = "phase.two.replay={fraction = 0.75, from = \"one\", mode = \"seen\"}";
  train("branch", {replay, "phase.two.start={from = \"one\", step = 3}", "phase.two.steps=6"});
  train("straight", {replay, "phase.one.steps=3", "phase.two.steps=6"});
  const auto losses = [&](const std::string& run) {
    std::vector<double> out;
    for (const auto& line : read_json_lines(folder_ / run / "metrics.jsonl"))
      if (line.find("loss_terms") != nullptr && line.at("phase").as_string() == "two")
        out.push_back(line.at("loss").as_double());
    return out;
  };
  EXPECT_EQ(losses("branch"), losses("straight"));
  EXPECT_EQ(losses("branch").size(), 6u);
}

TEST_F(StartingStateTest, APhaseMayStartFromAStepOfAnEarlierOne) {
  train("run", {"phase.two.start={from = \"one\", step = 3}", "phase.two.schedule={kind = \"constant\", lr_max = 0}"});
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "run"), ElementsAre(3, 6, 10));
  const auto third = checkpoint::load_params(checkpoint::open_model(checkpoint("run", 3))),
             last = checkpoint::load_params(checkpoint::open_model(checkpoint("run", 10)));
  for (const auto& [name, tensor] : third)
    EXPECT_TRUE(testing::same_bits(tensor, last.at(name))) << name;  // nothing is learned at rate 0
}

TEST_F(StartingStateTest, AModelMayComeFromARun) {
  train("first");
  const std::string from = "model.from=\"" + (folder_ / "first").string() + "\"";
  train("second", {from, "phase.one.schedule.lr_max=0"});
  const auto given = checkpoint::load_params(checkpoint::open_model(checkpoint("first", 10))),
             kept = checkpoint::load_params(checkpoint::open_model(checkpoint("second", 6)));
  for (const auto& [name, tensor] : given) EXPECT_TRUE(testing::same_bits(tensor, kept.at(name))) << name;
  EXPECT_EQ(weights_words(folder_ / "first"), "the checkpoint " + checkpoint("first", 10).string() + ", step 10");
  EXPECT_THAT(message_of<ConfigError>([&] {
                config({from, "model.d_expert=7"});
              }),
              HasSubstr("got model.d_expert = 7; need 6"));
}

// A folder, and the checkpoint that it was imported to: runs from either have the same weights, and keep its files.
TEST_F(StartingStateTest, AnImportedModelIsTheFolderItCameFrom) {
  train("first");
  const auto folder = folder_ / "folder", imported = folder_ / "imported";
  checkpoint::export_model(folder_ / "first", folder);
  std::ofstream(folder / "tokenizer.json") << "{}";
  checkpoint::import_folder(folder, imported);
  const std::string still = "phase.one.schedule.lr_max=0";
  train("of-folder", {"model.from=\"" + folder.string() + "\"", still});
  train("of-import", {"model.from=\"" + imported.string() + "\"", still});
  train("of-start", {"phase.one.start={from = \"" + imported.string() + "\"}", still});
  const auto given = checkpoint::load_params(checkpoint::open_model(checkpoint("first", 10)));
  for (const std::string run : {"of-folder", "of-import", "of-start"}) {
    const auto kept = checkpoint::load_params(checkpoint::open_model(checkpoint(run, 6)));
    for (const auto& [name, tensor] : given) EXPECT_TRUE(testing::same_bits(tensor, kept.at(name))) << run << name;
    for (const int64_t step : {6, 10}) {
      EXPECT_TRUE(std::filesystem::exists(checkpoint(run, step) / "origin" / "tokenizer.json")) << run << step;
      checkpoint::verify_folder(checkpoint(run, step), /*deep=*/true);
    }
  }
  EXPECT_EQ(weights_words(imported), "the checkpoint " + imported.string() + ", step 0");
}

TEST_F(StartingStateTest, ARunThatWasStartedFromMayGoWhileThisOneTrains) {
  train("first");
  const auto kept = folder_ / "kept";
  std::filesystem::copy(folder_ / "first", kept, std::filesystem::copy_options::recursive);
  auto with = options("second");
  with.on_step = [&](int64_t step, int64_t, const std::string&) {
    if (step == 2) std::filesystem::remove_all(folder_ / "first");
  };
  EXPECT_EQ(train_run(config({"phase.one.start={from = \"" + (folder_ / "first").string() + "\"}"}), with),
            TrainOutcome::finished);
  std::vector<int64_t> from;
  const auto saturations = [&](const std::string& run) {
    from.clear();
    for (const auto& line : read_json_lines(folder_ / run / "metrics.jsonl"))
      if (const Json* sets = line.find("saturation")) from.push_back(sets->at("held").at(0).at("from").as_int());
    return from;
  };
  EXPECT_THAT(saturations("second"), ElementsAre(6));  // of phase two alone
  // One that went on: the phase that is resumed still started where it did.
  const std::vector<std::string> overrides = {"phase.one.start={from = \"" + kept.string() + "\"}"};
  auto stopping = options("third");
  stopping.max_hours = 1e-12;
  train_run(config(overrides), stopping);
  EXPECT_EQ(train("kept", {"phase.two.steps=5"}, true, /*allow_change=*/true), TrainOutcome::finished);
  EXPECT_EQ(train("third", overrides, /*resume=*/true), TrainOutcome::finished);
  EXPECT_THAT(saturations("third"), ElementsAre(10, 6));
}

}  // namespace
}  // namespace evenkeel::train
