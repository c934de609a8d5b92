#include "train/check_run.h"

#include <cmath>
#include <numbers>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "support/made_run.h"
#include "train/results.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::made_step;
using testing::message_of;

class CheckRun : public ::testing::Test {
 protected:
  void SetUp() override { write(lines()); }
  static record::StepRow made_line(int64_t step) {
    const bool is_one = step <= 6;
    auto row = made_step(step, is_one ? "one" : "two", {1.0, 1.0});
    row.loss_terms = {{"cross_entropy", 2.97}, {"balance", 2}, {"z", 10}};
    row.sources = {{is_one ? "a" : "b", 4}};
    // A constant 0.01, then a cosine from there to 0.001 over 4 steps.
    row.lr = is_one ? 0.01 : 0.001 + 0.0045 * (1 + std::cos(std::numbers::pi * static_cast<double>(step - 6) / 4));
    return row;
  }
  static std::vector<record::RunLine> lines() {
    std::vector<record::RunLine> out;
    for (int64_t step = 1; step <= 10; ++step) {
      out.push_back(made_line(step));
      if (step != 6 && step != 10) continue;
      auto result = testing::made_result(2 + 0.1 * static_cast<double>(step), {0.5, 0.25});
      result.perplexity = std::exp(result.loss);
      out.push_back(testing::made_evaluation(step, step == 6 ? "one" : "two", {{"held", result}}));
    }
    return out;
  }
  void write(const std::vector<record::RunLine>& of) const {
    testing::write_made_run(run(), testing::tiny_config("/data"), of);
  }
  void finish(const std::string& version = EVENKEEL_VERSION) const {
    write_results(run(), run_results(read_arm(run()), Json::Object{{"evenkeel", version}}));
  }
  std::filesystem::path run() const { return folder_ / "run"; }
  std::string message() const {
    return message_of<DataError>([&] { check_run_files(run()); });
  }
  testing::TemporaryFolder folder_;
};

TEST_F(CheckRun, TakesARunAsItWasLeftUnderAnyName) {
  check_run_files(run());
  finish();
  check_run_files(run());
  std::filesystem::rename(run(), folder_ / "other");
  check_run_files(folder_ / "other");
}

TEST_F(CheckRun, ATornLastLineIsAFaultOfARunThatIsFinished) {
  const auto path = run() / "metrics.jsonl";
  finish();
  const std::string whole = read_file(path);
  write_file_atomically(path, whole + "{\"step\": 11");
  EXPECT_THAT(message(), HasSubstr("metrics.jsonl: got a last line without its end, and a run that is finished; need"));
  write_file_atomically(path, whole.substr(0, whole.size() - 1));
  EXPECT_THAT(message(), HasSubstr("metrics.jsonl: got a last line without its end"));
  std::filesystem::remove(run() / "results.json");
  check_run_files(run());  // a kill leaves that
}

TEST_F(CheckRun, AFinishedRunHasAllOfItsSteps) {
  finish();
  auto fewer = lines();
  fewer.resize(fewer.size() - 2);
  write(fewer);
  EXPECT_THAT(
      message(),
      HasSubstr("metrics.jsonl: got lines up to step 9 of a run that is finished; need 10, as resolved.json says"));
}

TEST_F(CheckRun, RoutingIsThatOfTheModel) {
  auto wrong = lines();
  for (auto& line : wrong)
    if (auto* row = std::get_if<record::StepRow>(&line))
      for (auto& layer : row->routing) testing::set_load(layer, {0.5, 0.5, 0.0});
  write(wrong);
  EXPECT_THAT(message(),
              HasSubstr("metrics.jsonl, line 1: got 3 shares in a 'load'; need 4, the experts of resolved.json"));
  auto one_layer = lines();
  for (auto& line : one_layer) {
    if (auto* row = std::get_if<record::StepRow>(&line)) row->routing.pop_back();
    if (auto* row = std::get_if<record::EvaluationRow>(&line)) row->eval[0].second.routing.pop_back();
  }
  write(one_layer);
  EXPECT_THAT(message(), HasSubstr("metrics.jsonl, line 1: got 1 layer of 'routing'; need 2"));
}

TEST_F(CheckRun, RefusesWhatIsNotOfTheRecipeInAnUnfinishedRunToo) {
  auto wrong = lines();
  std::get<record::StepRow>(wrong[2]).tokens = 97;
  write(wrong);
  EXPECT_THAT(message(), HasSubstr("metrics.jsonl, line 3: got 97 as 'tokens' of step 3; need 96, as resolved.json"));
}

TEST_F(CheckRun, AFinishedRunHasNoLoadsBeyondItsLines) {
  finish();
  write_file_atomically(run() / "load.columns", "EVKLOAD1");
  EXPECT_THAT(message(),
              HasSubstr("load.columns: got 8 bytes of a run that is finished; need 0, the end of the loads"));
  std::filesystem::remove(run() / "results.json");
  check_run_files(run());  // a kill may leave that
}

TEST_F(CheckRun, TheTablesAreThoseOfTheResults) {
  finish();
  const auto table = run() / "csv" / "forgetting.csv";
  const std::string text = read_file(table);
  std::string changed = text;
  changed.replace(changed.find("held"), 4, "hold");
  write_file_atomically(table, changed);
  EXPECT_THAT(message(), HasSubstr("csv/forgetting.csv, line 2: got another row; need the table"));
  write_file_atomically(table, text + "x\r\n");
  EXPECT_THAT(message(), HasSubstr("got another row"));
  std::filesystem::remove(table);
  EXPECT_THAT(message(), HasSubstr("csv/forgetting.csv: got no such file; need the table, which results.json has"));
}

TEST_F(CheckRun, NamesTheFirstKeyOfResultsThatTheFilesDoNotGive) {
  finish();
  const auto path = run() / "results.json";
  const Json results = Json::parse(read_file(path), "results");
  const auto message_with = [&](auto&& change) {
    Json changed = results;
    change(changed);
    write_file_atomically(path, changed.dump(1) + "\n");
    return message();
  };
  EXPECT_THAT(
      message_with([&](Json& json) { json["tables"]["forgetting"]["rows"].as_array()[0].as_array()[3] = 2.5; }),
      HasSubstr("results.json: tables.forgetting.rows[0][3]: got 2.5; need 2.6, which the run's other files give"));
  EXPECT_THAT(message_with([&](Json& json) { json["headlines"].as_array()[0] = "All is well."; }),
              HasSubstr("results.json: headlines[0]: got \"All is well.\"; need \"After phase two"));
  EXPECT_THAT(message_with([&](Json& json) { json["arms"].as_array()[0]["parameters"] = 1; }),
              HasSubstr("results.json: arms[0].parameters: got 1; need "));
  EXPECT_THAT(message_with([&](Json& json) { json.erase("tables"); }),
              HasSubstr("results.json: tables: got nothing; need {"));
  EXPECT_THAT(message_with([&](Json& json) { json.erase("machine"); }),
              HasSubstr("results.json: got no key 'machine'; need it"));
  write_file_atomically(path, "");
  EXPECT_THAT(message(), HasSubstr("results.json: got an empty text; need a JSON document"));
}

// Another version has other texts, and columns and keys of its own: what both have is compared.
TEST_F(CheckRun, ResultsOfAnotherVersionAreComparedInWhatBothHave) {
  finish("0.0.1");
  const auto path = run() / "results.json";
  const Json results = Json::parse(read_file(path), "results");
  const auto write_with = [&](auto&& change) {
    Json changed = results;
    change(changed);
    write_results(run(), changed);
  };
  write_with([](Json& json) {
    json["headlines"] = Json::Array{"As it was said then."};
    json["arms"].as_array()[0]["of_then"] = 1;
    json["arms"].as_array()[0].erase("baseline");
    Json& table = json["tables"]["forgetting"];
    table["source"] = "as it was described then";
    table["columns"].as_array().pop_back();
    for (auto& row : table["rows"].as_array()) row.as_array().pop_back();
  });
  EXPECT_NO_THROW(check_run_files(run()));
  write_with([](Json& json) { json["tables"]["forgetting"]["rows"].as_array()[0].as_array()[3] = 2.5; });
  EXPECT_THAT(message(), HasSubstr("results.json: tables.forgetting.rows[0][3]: got 2.5; need 2.6"));
}

}  // namespace
}  // namespace evenkeel::train
