#include "study/check_study.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "study/comparison.h"
#include "study/tables.h"
#include "support/made_run.h"

namespace evenkeel::study {
namespace {

using ::testing::HasSubstr;
using testing::made_step;

class CheckStudy : public ::testing::Test {
 protected:
  void SetUp() override {
    Json entries = Json::array();
    std::vector<train::Arm> arms;
    for (const int64_t seed : {1, 2}) {
      const std::string name = "moe-seed" + std::to_string(seed);
      std::vector<record::RunLine> lines;
      for (int64_t step = 1; step <= 10; ++step)
        lines.push_back(made_step(step, step <= 6 ? "one" : "two", {1.0, 1.0}));
      lines.push_back(testing::made_evaluation(
          10, "two", {{"held", testing::made_result(2.0 + static_cast<double>(seed), {0.5, 0.25})}}));
      testing::write_made_run(folder_ / "arms" / name,
                              testing::tiny_config("/data", {"train.seed=" + std::to_string(seed)}), lines);
      arms.push_back(train::read_arm(name, "moe", folder_ / "arms" / name));
      Json entry = train::arm_json(arms.back(), "arms/" + name);
      entry["threads"] = 1;  // how it ran
      entries.push_back(std::move(entry));
    }
    Speeds speeds;
    for (const auto& arm : arms) speeds[arm.name] = {.tokens_per_second = 100, .step_seconds = 0.32};
    const auto tables = study_tables(arms, speeds);
    results_ = Json::Object{{"machine", Json::Object{{"evenkeel", EVENKEEL_VERSION}}},
                            {"arms", std::move(entries)},
                            {"definitions", train::definitions_json()},
                            {"headlines", Json(headlines_and_notes(arms, tables, speeds))},
                            {"comparison", comparison_json(arms)},
                            {"tables", train::tables_json(tables)}};
    folder_.write("speed.json", R"({"format": "evenkeel.speed.v2", "machine": {}, "models": [{"key": "k",
        "arms": ["moe-seed1", "moe-seed2"], "step_seconds": {"median": 0.32, "min": 0.3}, "tokens_per_second": 100,
        "cpu_seconds_per_token": 0, "spread": 0, "cpu_share": null, "busy": false, "turns": []}]})");
  }
  void write(const Json& results) const { write_file_atomically(folder_ / "results.json", results.dump(1) + "\n"); }
  std::string message_with(const Json& results) const {
    write(results);
    return testing::message_of<DataError>([&] { check_study_results(folder_.path()); });
  }
  testing::TemporaryFolder folder_;
  Json results_;
};

TEST_F(CheckStudy, TakesTheResultsOfItsArmsAndSpeeds) {
  write(results_);
  check_study_results(folder_.path());
}

TEST_F(CheckStudy, NamesTheFirstKeyThatTheArmsDoNotGive) {
  Json changed = results_;
  changed["tables"]["forgetting"]["rows"].as_array()[1].as_array()[3] = 1.5;
  EXPECT_THAT(message_with(changed), HasSubstr("results.json: tables.forgetting.rows[1][3]: got 1.5; need 4"));
  changed = results_;
  changed["tables"]["forgetting_summary"]["rows"].as_array()[0].as_array()[4] = -1;
  EXPECT_THAT(message_with(changed), HasSubstr("results.json: tables.forgetting_summary.rows[0][4]: got -1; need "));
  changed = results_;
  changed["arms"].as_array()[1]["seed"] = 7;
  EXPECT_THAT(message_with(changed),
              HasSubstr("results.json: arms[1].seed: got 7; need 2, which speed.json and the files of the arms give"));
  changed["arms"].as_array()[1].erase("seed");
  EXPECT_THAT(message_with(changed), HasSubstr("results.json: arms[1].seed: got nothing; need 2"));
  changed = results_;
  changed["headlines"].push_back("All is well.");
  EXPECT_THAT(message_with(changed), HasSubstr("results.json: headlines: got an array of"));
  changed = results_;
  changed["comparison"]["flops_per_token"]["matched"] = false;
  EXPECT_THAT(message_with(changed),
              HasSubstr("results.json: comparison.flops_per_token.matched: got false; need true"));
  changed = results_;
  changed["tables"]["throughput"]["rows"].as_array()[1].as_array()[1] = 200;
  EXPECT_THAT(message_with(changed), HasSubstr("results.json: tables.throughput.rows[1][1]: got 200; need 100"));
  // Of another version: texts are its own, figures are not.
  results_["machine"]["evenkeel"] = "0.0.1";
  changed = results_;
  changed["headlines"] = Json::Array{"As it was said then."};
  changed["tables"]["forgetting"]["source"] = "as it was described then";
  changed["tables"].erase("pairs");
  write(changed);
  check_study_results(folder_.path());
  changed["tables"]["throughput"]["rows"].as_array()[1].as_array()[1] = 200;
  EXPECT_THAT(message_with(changed), HasSubstr("results.json: tables.throughput.rows[1][1]: got 200; need 100"));
  std::filesystem::remove(folder_ / "speed.json");
  EXPECT_THAT(message_with(results_), HasSubstr("speed.json: got no such file"));
}

}  // namespace
}  // namespace evenkeel::study
