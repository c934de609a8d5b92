#include "study/speed.h"

#include <gtest/gtest.h>

#include "core/file_io.h"
#include "core/log.h"
#include "ops/device.h"
#include "support/tiny_run.h"
#include "train/machine.h"

namespace evenkeel::study {
namespace {

TEST(SpeedOf, IsTheMedianOfTheStepsOfAllTurns) {
  const Speed speed = speed_of({{{1, 2, 4}, 8, {}}, {{2, 3}, 7, {}}}, 10, 2);  // sorted 1 2 2 3 4, in all 12 s
  EXPECT_EQ(speed.step_seconds, 2);
  EXPECT_EQ(speed.tokens_per_second, 5);
  EXPECT_DOUBLE_EQ(speed.cpu_seconds_per_token, 15.0 / 50);
  EXPECT_DOUBLE_EQ(speed.spread, 0.5);  // (3 - 2) / 2
  EXPECT_DOUBLE_EQ(speed.cpu_share.value(), 15.0 / 24);
  EXPECT_EQ(speed_of({{{4}, 0, {}}, {{8}, 0, {}}}, 12, 0).tokens_per_second, 2);  // between the two
}

TEST(SpeedOf, IsOfABusyMachineWhenStepsDifferOrLackTheirCores) {
  const auto is_busy = [](std::vector<double> steps, double cpu_seconds, int64_t n_threads) {
    return speed_of({{std::move(steps), cpu_seconds, {}}}, 1, n_threads).is_busy();
  };
  EXPECT_FALSE(is_busy({1, 1, 1, 1}, 8, 2));
  EXPECT_FALSE(is_busy({1, 1, 1, 1}, 6.9, 2));               // 0.8625 of two cores
  EXPECT_TRUE(is_busy({1, 1, 1, 1}, 6.7, 2));                // 0.8375
  EXPECT_FALSE(is_busy({1, 1, 1, 1}, 0.1, 0));               // the steps run elsewhere
  EXPECT_FALSE(is_busy({1, 1.05, 1.1, 1.15, 1.2}, 5.5, 1));  // 0.1 / 1.1
  EXPECT_TRUE(is_busy({1, 1, 1.1, 1.2, 1.3}, 5.6, 1));       // 0.2 / 1.1
  EXPECT_FALSE(is_busy({1, 1, 1, 1, 1, 1, 1, 9}, 16, 1));    // one long step in eight
  // Where the wait for a core is known, threads that sleep do not count as starved.
  EXPECT_FALSE(speed_of({{{1, 1}, 2.0, 0.1}, {{1, 1}, 2.0, 0.5}}, 1, 2).is_busy());  // 4 / 4.6
  EXPECT_TRUE(speed_of({{{1, 1}, 2.0, 0.1}, {{1, 1}, 2.0, 0.7}}, 1, 2).is_busy());   // 4 / 4.8
  EXPECT_TRUE(speed_of({{{1, 1}, 2.0, 0.1}, {{1, 1}, 2.0, {}}}, 1, 2).is_busy());    // not known of one turn: 4 / 8
}

class SpeedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ops::set_threads(1);
    set_quiet(true);
    add("moe", {});
    add("moe-replay", {"phase.two.replay={fraction = 0.5, from = \"one\"}"});
    add("moe-seed2", {"train.seed=2"});
    add("dense", testing::kTinyDense);
  }
  void add(const std::string& name, const std::vector<std::string>& overrides) {
    ArmPlan arm;
    arm.name = arm.group = name;
    arm.config = testing::tiny_config("/data", overrides);  // random tokens: no data are read
    plan_.arms.push_back(arm);
  }
  Speeds measure() const { return measure_speeds(plan_, folder_.path(), "cpu", machine_); }
  Json file() const { return Json::parse(read_file(folder_ / "speed.json"), "speed.json"); }
  testing::TemporaryFolder folder_;
  StudyPlan plan_;
  Json machine_ = train::machine_json(ops::find_device("cpu"));
};

TEST_F(SpeedTest, ArmsOfOneModelShareAMeasurement) {
  const auto speeds = measure();
  ASSERT_EQ(speeds.size(), 4u);
  EXPECT_EQ(speeds.at("moe").step_seconds, speeds.at("moe-replay").step_seconds);
  EXPECT_NE(speeds.at("moe").step_seconds, speeds.at("moe-seed2").step_seconds);
  for (const auto& [name, speed] : speeds)
    EXPECT_DOUBLE_EQ(speed.tokens_per_second, 32 / speed.step_seconds) << name;  // 4 sequences of 8 tokens
  const Json written = file();
  EXPECT_EQ(written.at("machine"), machine_);
  ASSERT_EQ(written.at("models").size(), 3u);
  EXPECT_EQ(written.at("models").at(0).at("arms").dump(), R"(["moe","moe-replay"])");
  for (const auto& model : written.at("models").as_array()) {
    EXPECT_EQ(model.at("turns").size(), 5u);  // they take no time
    EXPECT_LE(model.at("step_seconds").at("min").as_double(), model.at("step_seconds").at("median").as_double());
  }
}

// The figures of speed.json are those of its turns.
TEST_F(SpeedTest, FiguresFollowFromTheTurns) {
  const auto speeds = measure();
  const Json written = file();
  for (const auto& model : written.at("models").as_array()) {
    std::vector<Turn> turns;
    for (const auto& turn : model.at("turns").as_array()) {
      turns.push_back({{}, turn.at("cpu_seconds").as_double(), {}});
      if (!turn.at("core_wait_seconds").is_null())
        turns.back().core_wait_seconds = turn.at("core_wait_seconds").as_double();
      for (const auto& step : turn.at("step_seconds").as_array()) turns.back().step_seconds.push_back(step.as_double());
    }
    const Speed wanted = speed_of(turns, 32, 1), got = speeds.at(model.at("arms").at(0).as_string());
    EXPECT_EQ(got.step_seconds, wanted.step_seconds);
    EXPECT_EQ(model.at("cpu_share").as_double(), *wanted.cpu_share);
    EXPECT_EQ(got.spread, wanted.spread);
    EXPECT_EQ(got.cpu_seconds_per_token, wanted.cpu_seconds_per_token);
    EXPECT_EQ(model.at("busy").as_bool(), got.is_busy());
  }
}

TEST_F(SpeedTest, WhatIsThereIsTaken) {
  measure();
  const Json first = file();
  add("dense-too", testing::kTinyDense);
  const auto speeds = measure();
  EXPECT_EQ(file().at("models").at(2).at("turns"), first.at("models").at(2).at("turns"));
  EXPECT_EQ(file().at("models").at(2).at("arms").dump(), R"(["dense","dense-too"])");
  EXPECT_EQ(speeds.at("dense-too").step_seconds, first.at("models").at(2).at("step_seconds").at("median").as_double());
}

// Models measured at different times do not compare.
TEST_F(SpeedTest, AModelThatIsMissingHasAllMeasuredAnew) {
  measure();
  const Json first = file();
  auto wide = testing::kTinyDense;
  wide.push_back("model.d_ff=24");
  add("wide", wide);
  measure();
  ASSERT_EQ(file().at("models").size(), 4u);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_FALSE(file().at("models").at(i).at("turns") == first.at("models").at(i).at("turns")) << i;
}

TEST_F(SpeedTest, AnotherFormatIsMeasuredAnew) {
  folder_.write("speed.json", R"({"format": "evenkeel.speed.v1", "machine": {}, "models": []})");
  EXPECT_EQ(measure().size(), 4u);
  EXPECT_EQ(file().at("format").as_string(), "evenkeel.speed.v2");
}

TEST_F(SpeedTest, AnotherMachineMeasuresAnew) {
  measure();
  const Json first = file();
  machine_["cpu"] = "another";
  measure();
  EXPECT_EQ(file().at("machine").at("cpu").as_string(), "another");
  EXPECT_FALSE(file().at("models").at(0).at("step_seconds") == first.at("models").at(0).at("step_seconds"));
}

}  // namespace
}  // namespace evenkeel::study
