#include "train/phase_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/model_source.h"
#include "core/json_lines.h"
#include "support/gradients.h"
#include "support/trained_runs.h"

namespace evenkeel::train {
namespace {

class PhaseRunTest : public testing::RunTest {};

TEST_F(PhaseRunTest, FrozenParametersStayThroughTheirPhase) {
  train("run", {"phase.two.freeze=[\"layers.*.router.weight\", \"head.weight\"]"});
  const auto params = [&](int64_t step) {
    return checkpoint::load_params(checkpoint::open_model(checkpoint("run", step)));
  };
  const auto before = params(6), after = params(10);
  for (const auto& [name, tensor] : before) {
    const bool is_frozen = name == "head.weight" || name.find("router") != std::string::npos;
    EXPECT_EQ(testing::same_bits(tensor, after.at(name)), is_frozen) << name;
  }
}

TEST_F(PhaseRunTest, ReplayDrawsItsShareAndNamesIt) {
  train("run", {"phase.two.replay={fraction = 0.25, from = \"one\", mode = \"seen\"}"});
  for (const auto& line : read_json_lines(folder_ / "run" / "metrics.jsonl")) {
    if (line.find("sources") == nullptr || line.at("phase").as_string() == "one") continue;
    EXPECT_EQ(line.at("sources").at("replay/a").as_int(), 1);
    EXPECT_EQ(line.at("sources").at("b").as_int(), 3);
  }
}

TEST_F(PhaseRunTest, TheLastPhaseOfANameIsReplayed) {
  const auto data = [&](const char* name, const char* set) {
    return std::string("phase.two.data=[{name = \"") + name + "\", path = \"" + (folder_ / set).string() + "\"}]";
  };
  train("en", {data("x", "a")});
  train("de", {data("y", "b")});
  const auto start = [&](const char* phase, const char* run) {
    return std::string("phase.") + phase + ".start={from = \"" + (folder_ / run).string() + "\"}";
  };
  train("run", {"phase.one.name=p1", "phase.two.name=p2", start("p1", "en"), start("p2", "de"),
                "phase.p2.replay={fraction = 0.5, from = \"two\"}"});
  const auto lines = read_json_lines(folder_ / "run" / "metrics.jsonl");
  EXPECT_EQ(lines[lines.size() - 3].at("sources").at("replay/y").as_int(),
            2);  // of the run that this phase starts from
}

TEST_F(PhaseRunTest, CountsTheSequencesOfEachSource) {
  std::vector<data::Batch> batches(2);
  batches[0].sources = {{"a", 1}, {"replay/b", 2}};
  batches[1].sources = {{"a", 3}};
  EXPECT_EQ(source_counts(batches), (std::map<std::string, int64_t>{{"a", 4}, {"replay/b", 2}}));
}

TEST_F(PhaseRunTest, WhatIsDueEverySoOftenIsCountedInThePhase) {
  const auto with = config({"train.checkpoint_every=\"2 steps\""});
  TrainState state;
  state.step = 9;
  for (state.phase_step = 1; state.phase_step <= 4; ++state.phase_step)
    EXPECT_EQ(is_due(with, with.train.checkpoint_every, state), state.phase_step % 2 == 0) << state.phase_step;
  EXPECT_FALSE(is_due(config(), config().train.checkpoint_every, state));  // no rhythm
}

}  // namespace
}  // namespace evenkeel::train
