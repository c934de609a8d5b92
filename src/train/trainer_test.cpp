#include "train/trainer.h"

#include <ATen/ops/bincount.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/manifest.h"
#include "checkpoint/model_source.h"
#include "core/file_io.h"
#include "core/log.h"
#include "ops/device.h"
#include "support/gradients.h"
#include "support/tiny_run.h"
#include "train/metrics.h"
#include "train/state.h"
#include "train/token_counts.h"

namespace evenkeel::train {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

class TrainerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ops::set_threads(1);
    set_quiet(true);
  }
  void SetUp() override { testing::write_tiny_sets(folder_); }

  RunConfig config(const std::vector<std::string>& overrides = {}) const { return testing::tiny_config(folder_.path(), overrides); }
  TrainOptions options(const std::string& run) const {
    TrainOptions out;
    out.run = folder_ / run;
    out.recipe_text = "# a recipe\n";
    out.device = "cpu";
    out.tensorboard = false;
    out.on_step = [](int64_t, int64_t, const std::string&) {};
    return out;
  }
  TrainOutcome train(const std::string& run, const std::vector<std::string>& overrides = {}, bool resume = false, bool allow_change = false) const {
    auto with = options(run);
    with.resume = resume;
    with.allow_change = allow_change;
    return train_run(config(overrides), with);
  }
  std::filesystem::path checkpoint(const std::string& run, int64_t step) const { return folder_ / run / "checkpoints" / checkpoint::step_folder_name(step); }

  // The lines of a run without what the clock put into them.
  std::vector<std::string> timeless_lines(const std::string& run) const {
    std::vector<std::string> out;
    for (auto& line : read_metrics(folder_ / run / "metrics.jsonl")) {
      for (const char* key : {"seconds", "tokens_per_second", "gemm_fraction"})
        std::erase_if(line.as_object(), [&](const auto& entry) { return entry.first == key; });
      out.push_back(line.dump());
    }
    return out;
  }
  void expect_same_end(const std::string& left, const std::string& right, int64_t last_step = 10) const {
    EXPECT_EQ(timeless_lines(left), timeless_lines(right));
    for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
      EXPECT_EQ(read_file(checkpoint(left, last_step) / file), read_file(checkpoint(right, last_step) / file)) << left << " " << file;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(TrainerTest, AShortRunLeavesItsFiles) {
  EXPECT_EQ(train("run"), TrainOutcome::finished);
  EXPECT_TRUE(is_finished(folder_ / "run", config()));
  EXPECT_EQ(read_file(folder_ / "run" / "recipe.toml"), "# a recipe\n");
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "run"), ElementsAre(6, 10));  // phase ends
  std::vector<Json> steps, evaluations, saturations;
  for (auto& line : read_metrics(folder_ / "run" / "metrics.jsonl")) (line.find("eval") != nullptr ? evaluations : line.find("saturation") != nullptr ? saturations
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
  const std::vector<std::string> overrides = {"phase.two.replay={fraction = 0.5, from = \"one\"}", "train.micro_batch_size=2"};
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

// Phase two hardly moves the parameters: what changes the choices is the bias, which each checkpoint has its own of.
TEST_F(TrainerTest, SaturationRunsEachCheckpointWithItsRouterStates) {
  const auto saturation_with = [&](const std::string& run, const std::string& keys) {
    train(run, {"model.balance={loss = []}", "model.router={kind = \"loss_free\", rate = 0.5" + keys + "}", "phase.two.schedule={kind = \"constant\", lr_max = 1e-12}",
                "phase.two.steps=3"});  // odd: the choices swing to and fro at this rate
    double sum = 0;
    for (const auto& line : read_metrics(folder_ / run / "metrics.jsonl"))
      if (const Json* sets = line.find("saturation"))
        for (const auto& row : sets->at("held").as_array()) sum += row.at("saturation").as_double();
    return sum / 4;  // two layers, k = 1 and 2
  };
  EXPECT_EQ(saturation_with("still", ", rate_until = \"6 steps\""), 1.0);
  EXPECT_LT(saturation_with("moving", ""), 0.95);
}

// Every registered router, stopped after each step.
TEST_F(TrainerTest, ResumeIsBitEqualWithEveryRouter) {
  for (const auto& kind : moe::router_kinds()) {
    const std::string name = kind.name;
    const std::vector<std::string> overrides = {"model.router={kind = \"" + name + "\"}", "model.balance={loss = []}", "model.top_k=1", "train.micro_batch_size=2", "phase.one.steps=2",
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

TEST_F(TrainerTest, AHashRouterIsBalancedOverTheDataOfTheFirstPhase) {
  const std::vector<std::string> overrides = {"model.router={kind = \"hash\", by = \"frequency\"}", "model.balance={loss = []}", "model.top_k=1"};
  train("run", overrides);
  const auto with = config(overrides);
  const model::Transformer model(with.model);
  const auto state = load_checkpoint(checkpoint("run", 10), with, model, at::kCPU);
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

TEST_F(TrainerTest, ResumePassesOverADamagedCheckpoint) {
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

TEST_F(TrainerTest, ADamagedCheckpointIsPutAsideAndAFileThatIsNotListedIsNoDamage) {
  train("run");
  for (const int64_t step : {6, 10}) write_file_atomically(checkpoint("run", step) / ".DS_Store", "x");
  EXPECT_EQ(train("run", {"phase.two.steps=5"}, /*resume=*/true, /*allow_change=*/true), TrainOutcome::finished);
  EXPECT_EQ(read_metrics(folder_ / "run" / "metrics.jsonl").size(), 16u);  // of 11 steps, three evaluations and two saturations
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
  EXPECT_THAT(testing::message_of<CheckpointError>([&] { train("run", {"phase.two.steps=5"}, /*resume=*/true); }), HasSubstr("got 4 checkpoints, none of them whole"));
  EXPECT_EQ(read_file(folder_ / "run" / "metrics.jsonl"), metrics);
}

// A model that was trained before is measured before it changes: what it forgets counts from there.
TEST_F(TrainerTest, WeightsFromElsewhereHaveABaseline) {
  train("first");
  const std::string from = "model={from = \"" + (folder_ / "first").string() + "\"}";
  train("second", {from});
  const auto lines = read_metrics(folder_ / "second" / "metrics.jsonl");
  ASSERT_NE(lines.at(0).find("eval"), nullptr);
  EXPECT_EQ(lines[0].at("step").as_int(), 0);
  const Json results = Json::parse(read_file(folder_ / "second" / "results.json"), "r");
  const Json& forgetting = results.at("tables").at("forgetting").at("rows");
  ASSERT_GT(forgetting.size(), 0U);
  EXPECT_THAT(results.at("headlines").dump(), HasSubstr("(since step 0: "));
  const double baseline = lines[0].at("eval").at("held").at("loss").as_double();
  for (const auto& row : forgetting.as_array()) EXPECT_DOUBLE_EQ(row.at(5).as_double(), row.at(3).as_double() - baseline);
  const Json& shift = results.at("tables").at("shift_mri").at("rows");
  EXPECT_EQ(shift.at(0).at(1).as_string(), "one");
  double sum = 0;
  for (const auto& layer : lines[0].at("eval").at("held").at("routing").as_array()) sum += layer.at("mri").as_double() / 2;
  EXPECT_DOUBLE_EQ(shift.at(0).at(4).as_double(), sum);                                 // the mean over its two layers
  EXPECT_EQ(results.at("tables").at("saturation").at("rows").at(0).at(3).as_int(), 0);  // from step 0
  // It is the loss that the first run ended with.
  const auto first = read_metrics(folder_ / "first" / "metrics.jsonl");
  for (auto line = first.rbegin(); line != first.rend(); ++line) {
    if (line->find("eval") == nullptr) continue;
    EXPECT_DOUBLE_EQ(line->at("eval").at("held").at("loss").as_double(), baseline);
    break;
  }
}

TEST_F(TrainerTest, ACollapsedRouterIsAnAlarmOrTheEnd) {
  data::IndexedDatasetWriter writer(folder_ / "same", testing::kTinyVocabulary);  // one id, and nothing that a router could tell apart
  writer.add_document(std::vector<int32_t>(161, 5));
  writer.commit();
  const std::vector<std::string> collapsing = {"phase.one.data=[{name = \"same\", path = \"" + (folder_ / "same").string() + "\"}]"};
  train("warns", collapsing);
  int64_t alarmed = 0;
  for (const auto& line : read_metrics(folder_ / "warns" / "metrics.jsonl"))
    if (const Json* alarms = line.find("alarms"); alarms != nullptr && alarmed == 0) {
      EXPECT_THAT(alarms->at(0).at("text").as_string(), HasSubstr("nearly all tokens have the same 2 of 4 experts"));
      alarmed = line.at("step").as_int();
    }
  ASSERT_GT(alarmed, 0);
  auto aborting = collapsing;
  aborting.emplace_back("train.on_collapse=abort");
  EXPECT_THAT(testing::message_of<NumericsError>([&] { train("ends", aborting); }), HasSubstr("step " + std::to_string(alarmed) + ": got routing check"));
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "ends"), ::testing::Contains(alarmed));
  EXPECT_EQ(train("ends", collapsing, /*resume=*/true), TrainOutcome::finished);  // what follows a collapse is no change of what is trained
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

TEST_F(TrainerTest, APhaseFromAStepThatWasNotSavedIsRefusedBeforeWriting) {
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
  EXPECT_THAT(refused, HasSubstr("got a start from step 3, which the run has passed and not saved; need one of its checkpoints (6, 10)"));
  EXPECT_EQ(read_file(folder_ / "run" / "resolved.json"), resolved);
  EXPECT_TRUE(is_finished(folder_ / "run", config()));
}

TEST_F(TrainerTest, WhatWasSeenIsWhatTheStartHadSeen) {
  const std::string replay = "phase.two.replay={fraction = 0.75, from = \"one\", mode = \"seen\"}";
  train("branch", {replay, "phase.two.start={from = \"one\", step = 3}", "phase.two.steps=6"});
  train("straight", {replay, "phase.one.steps=3", "phase.two.steps=6"});
  const auto losses = [&](const std::string& run) {
    std::vector<double> out;
    for (const auto& line : read_metrics(folder_ / run / "metrics.jsonl"))
      if (line.find("loss_terms") != nullptr && line.at("phase").as_string() == "two") out.push_back(line.at("loss").as_double());
    return out;
  };
  EXPECT_EQ(losses("branch"), losses("straight"));
  EXPECT_EQ(losses("branch").size(), 6u);
}

TEST_F(TrainerTest, TokensBetweenCheckpointsAreRoundedUpToSteps) {
  train("run", {"train.checkpoint_every=\"40 tokens\"", "train.keep_last=0"});  // 1.25 steps of 32 tokens
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "run"), ElementsAre(2, 4, 6, 8, 10));
}

TEST_F(TrainerTest, TheLogEndsWithTheErrorThatEndedTheRun) {
  auto failing = options("run");
  failing.on_step = [](int64_t, int64_t, const std::string&) { fail<NumericsError>("step 1: got NaN; need a number"); };
  EXPECT_THROW(train_run(config(), failing), NumericsError);
  const std::string log = read_file(folder_ / "run" / "log.txt");
  EXPECT_THAT(log.substr(log.rfind('\n', log.size() - 2) + 1), ::testing::StartsWith("evenkeel: error: step 1: got NaN"));
}

TEST_F(TrainerTest, CheckpointsWithoutTheirRecipeAreNotGoneOnFrom) {
  train("run");
  std::filesystem::remove(folder_ / "run" / "resolved.json");
  EXPECT_THAT(message_of<ConfigError>([&] { train("run", {"train.seed=2"}, /*resume=*/true); }), HasSubstr("resolved.json: got no such file, and checkpoints"));
}

TEST_F(TrainerTest, KeepsTheLastCheckpointsAndThoseOfPhaseEnds) {
  train("run", {"train.checkpoint_every=\"1 steps\"", "train.keep_last=1"});
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "run"), ElementsAre(6, 9, 10));
}

TEST_F(TrainerTest, ASecondSeedGivesAnotherRun) {
  train("run");
  train("same");
  train("other", {"train.seed=2"});
  EXPECT_EQ(timeless_lines("run"), timeless_lines("same"));
  EXPECT_NE(timeless_lines("run")[0], timeless_lines("other")[0]);
}

TEST_F(TrainerTest, AFinishedRunIsLeftWithoutALookAtItsData) {
  train("run");
  const auto metrics = read_file(folder_ / "run" / "metrics.jsonl");
  for (const char* name : {"a.bin", "b.bin", "a-heldout.bin"}) std::filesystem::remove(folder_ / name);
  EXPECT_EQ(train("run", {}, /*resume=*/true), TrainOutcome::finished);
  EXPECT_EQ(read_file(folder_ / "run" / "metrics.jsonl"), metrics);
  EXPECT_THAT(message_of<ConfigError>([&] { train("run", {"train.seed=2"}, /*resume=*/true); }), HasSubstr("train.seed: 1 -> 2"));
  std::filesystem::remove(folder_ / "run" / "results.json");  // now there is something to do, and the data must be right first
  EXPECT_THROW(train("run", {}, /*resume=*/true), DataError);
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

TEST_F(TrainerTest, RefusesAFolderInUseOrNotEmpty) {
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

TEST_F(TrainerTest, RefusesAChangedRecipeUnlessAllowed) {
  train("run");
  const auto message = message_of<ConfigError>([&] { train("run", {"phase.two.steps=5"}, /*resume=*/true); });
  EXPECT_THAT(message, HasSubstr("phase.two.steps"));
  EXPECT_EQ(train("run", {"phase.two.steps=5"}, true, /*allow_change=*/true), TrainOutcome::finished);
  EXPECT_EQ(checkpoint::saved_steps(folder_ / "run").back(), 11);
}

TEST_F(TrainerTest, AFinishedRunIsLeftAsItIs) {
  train("run");
  const auto lines = read_file(folder_ / "run" / "metrics.jsonl");
  const auto when = std::filesystem::last_write_time(folder_ / "run" / "results.json");
  EXPECT_EQ(train("run", {}, /*resume=*/true), TrainOutcome::finished);
  EXPECT_EQ(read_file(folder_ / "run" / "metrics.jsonl"), lines);
  EXPECT_EQ(std::filesystem::last_write_time(folder_ / "run" / "results.json"), when);
}

TEST_F(TrainerTest, FrozenParametersStayThroughTheirPhase) {
  train("run", {"phase.two.freeze=[\"layers.*.router.weight\", \"head.weight\"]"});
  const auto params = [&](int64_t step) { return checkpoint::load_params(checkpoint::open_model(checkpoint("run", step))); };
  const auto before = params(6), after = params(10);
  for (const auto& [name, tensor] : before) {
    const bool is_frozen = name == "head.weight" || name.find("router") != std::string::npos;
    EXPECT_EQ(testing::same_bits(tensor, after.at(name)), is_frozen) << name;
  }
}

TEST_F(TrainerTest, APhaseMayStartFromAStepOfAnEarlierOne) {
  train("run", {"phase.two.start={from = \"one\", step = 3}", "phase.two.schedule={kind = \"constant\", lr_max = 0}"});
  EXPECT_THAT(checkpoint::saved_steps(folder_ / "run"), ElementsAre(3, 6, 10));
  const auto third = checkpoint::load_params(checkpoint::open_model(checkpoint("run", 3))), last = checkpoint::load_params(checkpoint::open_model(checkpoint("run", 10)));
  for (const auto& [name, tensor] : third) EXPECT_TRUE(testing::same_bits(tensor, last.at(name))) << name;  // nothing is learned at rate 0
}

TEST_F(TrainerTest, AModelMayComeFromARun) {
  train("first");
  const std::string from = "model.from=\"" + (folder_ / "first").string() + "\"";
  train("second", {from, "phase.one.schedule.lr_max=0"});
  const auto given = checkpoint::load_params(checkpoint::open_model(checkpoint("first", 10))), kept = checkpoint::load_params(checkpoint::open_model(checkpoint("second", 6)));
  for (const auto& [name, tensor] : given) EXPECT_TRUE(testing::same_bits(tensor, kept.at(name))) << name;
  EXPECT_THAT(message_of<ConfigError>([&] { config({from, "model.d_expert=7"}); }), HasSubstr("got model.d_expert = 7; need 6"));
}

TEST_F(TrainerTest, ReplayDrawsItsShareAndNamesIt) {
  train("run", {"phase.two.replay={fraction = 0.25, from = \"one\", mode = \"seen\"}"});
  for (const auto& line : read_metrics(folder_ / "run" / "metrics.jsonl")) {
    if (line.find("sources") == nullptr || line.at("phase").as_string() == "one") continue;
    EXPECT_EQ(line.at("sources").at("replay/a").as_int(), 1);
    EXPECT_EQ(line.at("sources").at("b").as_int(), 3);
  }
}

// A step of varied tokens, then one token alone: a table of ids sends it to one expert. The first step's check cannot know.
TEST_F(TrainerTest, WarnsOnceAPhaseOfACollapseThatAnEvaluationMeets) {
  data::IndexedDatasetWriter writer(folder_ / "turning", testing::kTinyVocabulary);
  std::vector<int32_t> ids(400, 5);
  for (size_t i = 0; i < 33; ++i) ids[i] = static_cast<int32_t>(i * 7 % testing::kTinyVocabulary);
  writer.add_document(ids);
  writer.commit();
  const auto warnings_of = [&](const std::string& run, const std::string& every) {
    train(run, {"model.top_k=1", "model.balance={loss = []}", "model.router={kind = \"hash\"}", "phase.one.shuffle=false", "phase.one.data=[{name = \"turning\", path = \"" + (folder_ / "turning").string() + "\"}]",
                "phase.one.eval={every = \"" + every + "\", data = [{name = \"held\", path = \"" + (folder_ / "a-heldout").string() + "\"}]}"});
    const std::string log = read_file(folder_ / run / "log.txt");
    int n = 0;
    for (size_t at = log.find("routing check: layers 0, 1: nearly all tokens"); at != std::string::npos; at = log.find("routing check", at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(warnings_of("often", "2 steps"), 1);
  EXPECT_EQ(warnings_of("end", "1000 steps"), 1);
}

TEST_F(TrainerTest, ResumeRefusesOtherDataAndOtherStarts) {
  auto stopping = options("run");
  stopping.max_hours = 1e-12;
  train_run(config(), stopping);
  const std::string other = "phase.one.data=[{name = \"a\", path = \"" + (folder_ / "b").string() + "\"}]";
  EXPECT_THAT(message_of<ConfigError>([&] { train("run", {other}, /*resume=*/true); }), HasSubstr("phase.one.data.a.path"));
  const auto kept = read_file(folder_ / "a.bin");
  testing::write_tiny_data(folder_, "a", 161, 9);
  EXPECT_THAT(message_of<ConfigError>([&] { train("run", {}, /*resume=*/true); }), HasSubstr("phase.one.data.a.path: other contents"));
  write_file_atomically(folder_ / "a.bin", kept);
  std::filesystem::create_directory(folder_ / "moved");
  for (const char* name : {"a.bin", "a.idx"}) std::filesystem::rename(folder_ / name, folder_ / "moved" / name);
  EXPECT_EQ(train("run", {"phase.one.data=[{name = \"a\", path = \"" + (folder_ / "moved" / "a").string() + "\"}]"}, /*resume=*/true), TrainOutcome::finished);
}

TEST_F(TrainerTest, ResumeNeedsTheMetricsOfItsCheckpoint) {
  train("run");
  for (const char* name : {"metrics.jsonl", "results.json"}) std::filesystem::remove(folder_ / "run" / name);
  EXPECT_THAT(message_of<DataError>([&] { train("run", {}, /*resume=*/true); }), HasSubstr("metrics.jsonl: got lines up to step 0; need those up to step 10"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run" / "results.json"));
}

TEST_F(TrainerTest, ARunThatWasStartedFromMayGoWhileThisOneTrains) {
  train("first");
  const auto kept = folder_ / "kept";
  std::filesystem::copy(folder_ / "first", kept, std::filesystem::copy_options::recursive);
  auto with = options("second");
  with.on_step = [&](int64_t step, int64_t, const std::string&) {
    if (step == 2) std::filesystem::remove_all(folder_ / "first");
  };
  EXPECT_EQ(train_run(config({"phase.one.start={from = \"" + (folder_ / "first").string() + "\"}"}), with), TrainOutcome::finished);
  std::vector<int64_t> from;
  const auto saturations = [&](const std::string& run) {
    from.clear();
    for (const auto& line : read_metrics(folder_ / run / "metrics.jsonl"))
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

TEST_F(TrainerTest, TheLastPhaseOfANameIsReplayed) {
  const auto data = [&](const char* name, const char* set) { return std::string("phase.two.data=[{name = \"") + name + "\", path = \"" + (folder_ / set).string() + "\"}]"; };
  train("en", {data("x", "a")});
  train("de", {data("y", "b")});
  const auto start = [&](const char* phase, const char* run) { return std::string("phase.") + phase + ".start={from = \"" + (folder_ / run).string() + "\"}"; };
  train("run", {"phase.one.name=p1", "phase.two.name=p2", start("p1", "en"), start("p2", "de"), "phase.p2.replay={fraction = 0.5, from = \"two\"}"});
  const auto lines = read_metrics(folder_ / "run" / "metrics.jsonl");
  EXPECT_EQ(lines[lines.size() - 3].at("sources").at("replay/y").as_int(), 2);  // of the run that this phase starts from
}

TEST_F(TrainerTest, RefusesDataThatDoesNotFitBeforeWriting) {
  EXPECT_THROW(train("run", {"phase.two.data=[{name = \"b\", path = \"/nowhere/b\"}]"}), DataError);
  EXPECT_THROW(train("run", {"model.vocab_size=8"}), DataError);
  EXPECT_THAT(message_of<ConfigError>([&] { train("run", {"phase.two.replay={fraction = 0.5, from = \"three\"}"}); }), HasSubstr("three"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
}

}  // namespace
}  // namespace evenkeel::train
