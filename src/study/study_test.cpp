#include "study/study.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/json_lines.h"
#include "core/file_io.h"
#include "core/log.h"
#include "ops/device.h"
#include "train/inputs.h"
#include "support/tiny_run.h"

namespace evenkeel::study {
namespace {

using ::testing::HasSubstr;

class StudyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ops::set_threads(1);
    set_quiet(true);
    testing::write_tiny_sets(folder_);
    make_folders(out());
    text_ = std::string(R"([study]
title = "Tiny"
arms = [{name = "dense", model = {n_experts = 0, top_k = 0, d_expert = 0}}, {name = "moe", model.balance = {loss = "switch", coefficient = 0.02}},
        {name = "moe-r50", model.balance = {loss = "switch", coefficient = 0.02}, phase.two.replay = {fraction = 0.5, from = "one"}}]
)") + testing::tiny_recipe_text();
    const size_t balance = text_.find("balance = {loss = \"switch\", coefficient = 0.01");
    text_.erase(balance, text_.find('\n', balance) - balance);  // each arm states its own
    write_file_atomically(out() / "study.toml", text_);
  }
  std::filesystem::path out() const { return folder_ / "out"; }
  StudyPlan plan() const { return read_study(parse_toml(text_, "s.toml", folder_.path().string())); }
  StudyOptions options() const { return {.out = out(), .device = "cpu", .resume = true, .n_jobs = 2}; }
  void run() const {
    train::InputData data;
    run_study(plan(), options(), data);
  }
  testing::TemporaryFolder folder_;
  std::string text_;
};

TEST_F(StudyTest, RunsItsArmsAndWritesTablesAndHeadlines) {
  run();
  const Json results = Json::parse(read_file(out() / "results.json"), "results.json");
  EXPECT_EQ(results.at("kind").as_string(), "study");
  EXPECT_EQ(results.at("title").as_string(), "Tiny");
  EXPECT_EQ(results.at("recipe").as_string(), text_);
  ASSERT_EQ(results.at("arms").size(), 3u);
  EXPECT_EQ(results.at("arms").at(2).at("run").as_string(), "arms/moe-r50");
  EXPECT_EQ(results.at("arms").at(2).at("replay_family"), results.at("arms").at(1).at("replay_family"));
  EXPECT_FALSE(results.at("arms").at(1).at("replay_family") == results.at("arms").at(0).at("replay_family"));
  EXPECT_EQ(results.at("comparison").at("flops_per_token").at("least"), results.at("arms").at(0).at("flops_per_token"));
  EXPECT_EQ(results.at("tables").at("throughput").at("rows").size(), 3u);
  EXPECT_EQ(results.at("machine").at("device").as_string(), "cpu");
  EXPECT_EQ(results.at("arms").at(0).at("runs_at_a_time").as_int(), 2);
  EXPECT_EQ(results.at("arms").at(0).at("threads").as_int(), 1);
  EXPECT_EQ(results.at("tables").at("warnings").at("rows").size(), 0u);
  EXPECT_EQ(results.at("tables").at("forgetting").at("rows").size(), 6u);  // 3 arms, 2 phases, 1 held-out set
  EXPECT_EQ(read_file(out() / "csv" / "forgetting.csv").substr(0, 14), "arm,phase,data");
  for (const char* arm : {"dense", "moe", "moe-r50"}) {
    EXPECT_EQ(read_json_lines(out() / "arms" / arm / "metrics.jsonl").back().at("step").as_int(), 10) << arm;
    // An arm's recipe stands by itself.
    EXPECT_NO_THROW(train::read_run_config(read_toml((out() / "arms" / arm / "recipe.toml").string()))) << arm;
  }
  // The two MoE arms share phase one: not a figure of it differs.
  const auto first = read_file(out() / "arms" / "moe" / "metrics.jsonl"),
             second = read_file(out() / "arms" / "moe-r50" / "metrics.jsonl");
  const size_t end = first.find("\"phase\":\"two\"");
  EXPECT_EQ(first.substr(0, first.rfind('\n', end)), second.substr(0, first.rfind('\n', end)));

  // Again: nothing is computed anew, and the figures stay.
  const auto before = read_file(out() / "arms" / "moe" / "metrics.jsonl");
  const Json tables = results.at("tables");
  run();
  EXPECT_EQ(read_file(out() / "arms" / "moe" / "metrics.jsonl"), before);
  EXPECT_EQ(Json::parse(read_file(out() / "results.json"), "r").at("tables"), tables);
}

TEST_F(StudyTest, DataThatIsNotThereIsNoticedBeforeAnythingIsWritten) {
  std::filesystem::remove(folder_ / "b.bin");
  train::InputData data;
  EXPECT_THROW(check_study(plan(), options(), data), DataError);
  EXPECT_FALSE(std::filesystem::exists(out() / "arms"));
}

TEST_F(StudyTest, AnArmThatChangedIsRefusedByKey) {
  run();
  auto changed = plan();
  changed.arms[1].config.train.seed = 5;
  train::InputData data;
  EXPECT_NO_THROW(check_study(plan(), options(), data));
  EXPECT_THAT(testing::message_of<ConfigError>([&] { check_study(changed, options(), data); }),
              HasSubstr("train.seed: 1 -> 5"));
  EXPECT_THAT(testing::message_of<ConfigError>(
                  [&] { run_study(changed, {.out = out(), .device = "cpu", .resume = true, .n_jobs = 1}, data); }),
              HasSubstr("train.seed: 1 -> 5"));
}

}  // namespace
}  // namespace evenkeel::study
