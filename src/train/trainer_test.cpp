#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/json_lines.h"
#include "record/run_reader.h"
#include "support/trained_runs.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TrainerTest : public testing::RunTest {};

TEST_F(TrainerTest, AShortRunLeavesItsFiles) {
  EXPECT_EQ(train("run"), TrainOutcome::finished);
  EXPECT_TRUE(is_finished(folder_ / "run", config()));
  EXPECT_EQ(read_file(folder_ / "run" / "recipe.toml"), "# a recipe\n");
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "run"), ElementsAre(6, 10));  // phase ends
  std::vector<Json> steps, evaluations, saturations;
  for (auto& line : read_json_lines(folder_ / "run" / "metrics.jsonl"))
    (line.find("eval") != nullptr         ? evaluations
     : line.find("saturation") != nullptr ? saturations
                                          : steps)
        .push_back(line);
  ASSERT_EQ(steps.size(), 10u);
  ASSERT_EQ(evaluations.size(), 2u);
  ASSERT_EQ(saturations.size(), 1u);  // phase one starts from initialisation
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(steps[i].at("step").as_int(), static_cast<int64_t>(i) + 1);
    EXPECT_EQ(steps[i].at("tokens").as_int(), 32 * (static_cast<int64_t>(i) + 1));
    EXPECT_EQ(steps[i].at("phase").as_string(), i < 6 ? "one" : "two");
    EXPECT_EQ(steps[i].at("phase_step").as_int(), static_cast<int64_t>(i < 6 ? i + 1 : i - 5));
    EXPECT_EQ(steps[i].at("sources").at(i < 6 ? "a" : "b").as_int(), 4);
    double sum = 0;
    for (const auto& share : steps[i].at("routing").at(1).at("load").as_array()) sum += share.as_double();
    EXPECT_NEAR(sum, 1.0, 1e-12);
  }
  EXPECT_EQ(steps[0].at("lr").as_double(), 1e-2);
  EXPECT_NEAR(steps[9].at("lr").as_double(), 1e-3, 1e-12);
  EXPECT_EQ(evaluations[1].at("eval").at("held").at("tokens").as_int(), 49);
  EXPECT_EQ(saturations[0].at("saturation").at("held").at(1).at("k").as_int(), 2);
  EXPECT_EQ(saturations[0].at("saturation").at("held").at(0).at("from").as_int(), 6);
  EXPECT_EQ(Json::parse(read_file(folder_ / "run" / "results.json"), "r").at("arms").size(), 1u);
}

TEST_F(TrainerTest, ResumeIsBitEqualToNeverStopped) {
  const std::vector<std::string> overrides = {"phase.two.replay={fraction = 0.5, from = \"one\"}",
                                              "train.micro_batch_size=2"};
  train("whole", overrides);
  auto stopping = options("stopped");
  stopping.max_hours = 1e-12;  // stops after every step
  stopping.resume = true;
  const auto with = config(overrides);
  int calls = 1;
  while (train_run(with, stopping) == TrainOutcome::out_of_time) ++calls;
  EXPECT_EQ(calls, 10);
  expect_same_end("whole", "stopped");
}

// Above 2,048 routed experts the loads stand in a file of their own: the run resumes to the bit, and without that file
// it goes on nowhere.
TEST_F(TrainerTest, AWideRunHasItsLoadsBeside) {
  const std::vector<std::string> overrides = {"model.n_experts=1100"};
  train("whole", overrides);
  auto stopping = options("stopped");
  stopping.max_hours = 1e-12;
  stopping.resume = true;
  const auto with = config(overrides);
  while (train_run(with, stopping) == TrainOutcome::out_of_time) {
  }
  expect_same_end("whole", "stopped");
  EXPECT_EQ(read_file(folder_ / "whole" / "load.columns"), read_file(folder_ / "stopped" / "load.columns"));
  EXPECT_THAT(read_file(folder_ / "whole" / "metrics.jsonl"), ::testing::Not(HasSubstr("\"load\"")));
  for (const auto& line : record::read_run_lines(folder_ / "whole" / "metrics.jsonl")) {
    const auto* row = std::get_if<record::StepRow>(&line);
    EXPECT_TRUE(row == nullptr || row->routing.at(1).load.size() == 1100);
  }
  EXPECT_TRUE(std::filesystem::exists(folder_ / "whole" / "csv" / "forgetting.csv"));

  std::filesystem::remove(folder_ / "whole" / "results.json");
  std::filesystem::remove(folder_ / "whole" / "load.columns");
  const std::string metrics = read_file(folder_ / "whole" / "metrics.jsonl");
  EXPECT_THAT(testing::message_of<DataError>([&] { train("whole", overrides, /*resume=*/true); }),
              HasSubstr("load.columns: got no such file"));
  EXPECT_EQ(read_file(folder_ / "whole" / "metrics.jsonl"), metrics);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "whole" / "load.columns"));
}

// Every registered router, stopped after each step.
TEST_F(TrainerTest, ResumeIsBitEqualWithEveryRouter) {
  for (const auto& kind : moe::router_kinds()) {
    const std::string name = kind.name;
    const std::vector<std::string> overrides = {"model.router={kind = \"" + name + "\"}",
                                                "model.balance={loss = []}",
                                                "model.top_k=1",
                                                "train.micro_batch_size=2",
                                                "phase.one.steps=2",
                                                "phase.two.steps=2"};
    train(name + "-whole", overrides);
    auto stopping = options(name + "-stopped");
    stopping.max_hours = 1e-12;
    stopping.resume = true;
    const auto with = config(overrides);
    while (train_run(with, stopping) == TrainOutcome::out_of_time) continue;
    expect_same_end(name + "-whole", name + "-stopped", 4);
  }
}

TEST_F(TrainerTest, ACollapsedRouterIsAnAlarmOrTheEnd) {
  data::IndexedDatasetWriter writer(folder_ / "same",
                                    testing::kTinyVocabulary);  // one id, and nothing that a router could tell apart
  writer.add_document(std::vector<int32_t>(161, 5));
  writer.commit();
  const std::vector<std::string> collapsing = {"phase.one.data=[{name = \"same\", path = \"" +
                                               (folder_ / "same").string() + "\"}]"};
  train("warns", collapsing);
  int64_t alarmed = 0;
  for (const auto& line : read_json_lines(folder_ / "warns" / "metrics.jsonl"))
    if (const Json* alarms = line.find("alarms"); alarms != nullptr && alarmed == 0) {
      EXPECT_THAT(alarms->at(0).at("text").as_string(), HasSubstr("nearly all tokens have the same 2 of 4 experts"));
      alarmed = line.at("step").as_int();
    }
  ASSERT_GT(alarmed, 0);
  auto aborting = collapsing;
  aborting.emplace_back("train.on_collapse=abort");
  EXPECT_THAT(testing::message_of<NumericsError>([&] { train("ends", aborting); }),
              HasSubstr("step " + std::to_string(alarmed) + ": got routing check"));
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "ends"), ::testing::Contains(alarmed));
  EXPECT_THAT(testing::message_of<NumericsError>([&] { train("ends", aborting, /*resume=*/true); }),
              HasSubstr("need --set train.on_collapse=warn to train on"));
  EXPECT_EQ(train("ends", collapsing, /*resume=*/true),
            TrainOutcome::finished);  // what follows a collapse is no change of what is trained
}

TEST_F(TrainerTest, ARunThatGoesOnIsNotFinishedUntilItHasItsOwnResults) {
  train("run");
  const fs::path results = folder_ / "run" / "results.json";
  auto longer = options("run");
  longer.resume = longer.allow_change = true;
  int steps = 0;
  longer.on_step = [&](int64_t, int64_t, const std::string&) { steps += fs::exists(results) ? 0 : 1; };
  train_run(config({"phase.two.steps=6"}), longer);
  EXPECT_EQ(steps, 2);
  const std::string whole = read_file(results);
  write_file_atomically(results, whole.substr(0, whole.size() / 2));
  EXPECT_FALSE(is_finished(folder_ / "run", config({"phase.two.steps=6"})));
  EXPECT_EQ(train("run", {"phase.two.steps=6"}, /*resume=*/true), TrainOutcome::finished);
  EXPECT_EQ(Json::parse(read_file(results), "r").at("tables"), Json::parse(whole, "w").at("tables"));
}

TEST_F(TrainerTest, TheLogEndsWithTheErrorThatEndedTheRun) {
  auto failing = options("run");
  failing.on_step = [](int64_t, int64_t, const std::string&) { fail<NumericsError>("step 1: got NaN; need a number"); };
  EXPECT_THROW(train_run(config(), failing), NumericsError);
  const std::string log = read_file(folder_ / "run" / "log.txt");
  EXPECT_THAT(log.substr(log.rfind('\n', log.size() - 2) + 1),
              ::testing::StartsWith("evenkeel: error: step 1: got NaN"));
}

TEST_F(TrainerTest, ASecondSeedGivesAnotherRun) {
  train("run");
  train("same");
  train("other", {"train.seed=2"});
  EXPECT_EQ(timeless_lines("run"), timeless_lines("same"));
  EXPECT_NE(timeless_lines("run")[0], timeless_lines("other")[0]);
}

TEST_F(TrainerTest, ResultsSayWhatTheyWereComputedOn) {
  auto side_by_side = options("run");
  side_by_side.runs_at_a_time = 3;
  train_run(config(), side_by_side);
  const Json machine = Json::parse(read_file(folder_ / "run" / "results.json"), "r").at("machine");
  EXPECT_EQ(machine.at("runs_at_a_time").as_int(), 3);
  EXPECT_EQ(machine.at("device").as_string(), "cpu");
  EXPECT_GT(machine.at("gemm_gflops").as_double(), 0);
}

// A step of varied tokens, then one token alone: a table of ids sends it to one expert. The first step's check cannot
// know.
TEST_F(TrainerTest, WarnsOnceAPhaseOfACollapseThatAnEvaluationMeets) {
  data::IndexedDatasetWriter writer(folder_ / "turning", testing::kTinyVocabulary);
  std::vector<int32_t> ids(400, 5);
  for (size_t i = 0; i < 33; ++i) ids[i] = static_cast<int32_t>(i * 7 % testing::kTinyVocabulary);
  writer.add_document(ids);
  writer.commit();
  const auto warnings_of = [&](const std::string& run, const std::string& every) {
    train(run,
          {"model.top_k=1", "model.balance={loss = []}", "model.router={kind = \"hash\"}", "phase.one.shuffle=false",
           "phase.one.data=[{name = \"turning\", path = \"" + (folder_ / "turning").string() + "\"}]",
           "phase.one.eval={every = \"" + every + "\", data = [{name = \"held\", path = \"" +
               (folder_ / "a-heldout").string() + "\"}]}"});
    const std::string log = read_file(folder_ / run / "log.txt");
    int n = 0;
    for (size_t at = log.find("routing check: layers 0, 1: nearly all tokens"); at != std::string::npos;
         at = log.find("routing check", at + 1))
      ++n;
    return n;
  };
  EXPECT_EQ(warnings_of("often", "2 steps"), 1);
  EXPECT_EQ(warnings_of("end", "1000 steps"), 1);
}

}  // namespace
}  // namespace evenkeel::train
