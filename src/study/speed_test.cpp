#include "study/speed.h"

#include <gtest/gtest.h>

#include "core/file_io.h"
#include "core/log.h"
#include "ops/device.h"
#include "support/tiny_run.h"
#include "train/machine.h"

namespace evenkeel::study {
namespace {

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
  for (const auto& [name, speed] : speeds) EXPECT_DOUBLE_EQ(speed.tokens_per_second, 32 / speed.step_seconds) << name;  // 4 sequences of 8 tokens
  const Json written = file();
  EXPECT_EQ(written.at("machine"), machine_);
  ASSERT_EQ(written.at("models").size(), 3u);
  EXPECT_EQ(written.at("models").at(0).at("arms").dump(), R"(["moe","moe-replay"])");
  for (const auto& model : written.at("models").as_array()) {
    EXPECT_GE(model.at("steps").as_int(), 5);
    EXPECT_LE(model.at("step_seconds").at("min").as_double(), model.at("step_seconds").at("median").as_double());
  }
}

TEST_F(SpeedTest, OnlyWhatIsMissingIsMeasured) {
  measure();
  const Json first = file();
  auto wide = testing::kTinyDense;
  wide.push_back("model.d_ff=24");
  add("wide", wide);
  add("dense-too", testing::kTinyDense);
  measure();
  const Json second = file();
  ASSERT_EQ(second.at("models").size(), 4u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(second.at("models").at(i).at("step_seconds"), first.at("models").at(i).at("step_seconds")) << i;
  EXPECT_EQ(second.at("models").at(2).at("arms").dump(), R"(["dense","dense-too"])");
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
