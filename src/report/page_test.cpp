#include "report/page.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json.h"
#include "core/json_lines.h"
#include "report/test_support.h"
#include "support/files.h"
#include "support/made_lines.h"

namespace evenkeel::report {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

class PageTest : public ::testing::Test {
 protected:
  // A run folder of `n_steps` steps.
  std::filesystem::path run(const std::string& name, int n_steps, const std::string& title = "A title",
                            const std::string& recipe = "") const {
    const auto path = folder_ / name;
    make_folders(path);
    std::vector<record::RunLine> lines;
    for (int step = 1; step <= n_steps; ++step) lines.emplace_back(testing::made_step(step, "one", {0.5}));
    lines.emplace_back(testing::made_evaluation(n_steps, "one", {{"held", testing::made_result(2.5, {0.5})}}));
    lines.emplace_back(record::SaturationRow{n_steps, "one", {}});
    write_file_atomically(path / "metrics.jsonl", testing::text_of(lines) + R"({"step":)");  // torn by a kill
    write_file_atomically(path / "resolved.json", R"({"model":{"n_experts":2}})");
    if (!recipe.empty()) write_file_atomically(path / "recipe.toml", recipe);
    Json results = Json::object();
    results["schema"] = "evenkeel.results.v1";
    results["kind"] = "run";
    results["title"] = title;
    results["headlines"] = Json::Array{"A headline of " + name};
    results["arms"] = Json::Array{Json::Object{{"name", name}, {"run", "."}}};
    results["tables"] =
        Json::parse(R"({"forgetting":{"columns":[{"name":"arm","unit":""}],"rows":[[")" + name + R"("]]}})", "t");
    write_file_atomically(path / "results.json", results.dump());
    return path;
  }
  std::filesystem::path analysis(const std::string& name, const std::string& pairs = "") const {
    const auto path = folder_ / name;
    make_folders(path / "csv");
    write_file_atomically(
        path / "results.json",
        R"({"schema":"evenkeel.results.v1","kind":"analysis","title":"Routing of M","headlines":["A headline of )" +
            name +
            R"("],"definitions":{"mri":{"text":"t"}},"tables":{"load":{"columns":[{"name":"layer","unit":""}],"rows":[[0]]}}})");
    if (!pairs.empty()) write_file_atomically(path / "csv" / "coactivation_all.csv", pairs);
    return path;
  }
  // The page's data, as its script reads it.
  static Json data_of(const std::string& page) {
    return Json::parse(
        testing::unpacked(element_of(page, R"(<script type="application/gzip" id="evenkeel-data">)", "</script>")),
        "page");
  }
  static std::string element_of(const std::string& page, const std::string& begin, const std::string& end) {
    const size_t at = page.find(begin);
    EXPECT_NE(at, std::string::npos) << begin;
    const size_t first = at + begin.size();
    return page.substr(first, page.find(end, first) - first);
  }
  testing::TemporaryFolder folder_;
};

TEST_F(PageTest, HoldsTheDataAndNoPlaceholder) {
  const auto page = make_page({run("one", 3, "A title", "[model]\n")});
  const Json data = data_of(page);
  EXPECT_EQ(data.at("title").as_string(), "A title");
  EXPECT_EQ(data.at("kind").as_string(), "run");
  const Json& arm = data.at("runs").at("one");
  EXPECT_EQ(arm.at("phases").size(), 1u);
  EXPECT_EQ(arm.at("evals").size(), 1u);
  EXPECT_EQ(arm.at("saturation").size(), 1u);
  EXPECT_EQ(arm.at("recipe").as_string(), "[model]\n");
  EXPECT_EQ(arm.at("resolved").at("model").at("n_experts").as_int(), 2);
  for (const char* placeholder : {"{{CSS}}", "{{PLOTLY}}", "{{JS}}", "{{DATA}}", "{{SUMMARY}}"})
    EXPECT_EQ(page.find(placeholder), std::string::npos) << placeholder;
  EXPECT_THAT(page.substr(0, 15), "<!doctype html>");
  EXPECT_THAT(testing::unpacked(element_of(page, R"(<script type="application/gzip" id="plotly">)", "</script>")),
              HasSubstr("plotly.js v"));
}

TEST_F(PageTest, TheSameInputGivesTheSameBytes) {
  const auto path = run("one", 3);
  write_page({path}, folder_ / "first.html");
  write_page({path}, folder_ / "second.html");
  EXPECT_EQ(read_file(folder_ / "first.html"), read_file(folder_ / "second.html"));
}

TEST_F(PageTest, WritingRemovesWhatAKilledWriterLeft) {
  const auto path = run("one", 3);
  const fs::path left = folder_ / ".evenkeel-page.html.tmp999999999";  // beyond the largest number of a process
  write_file_atomically(left, "half a page");
  write_page({path}, folder_ / "page.html");
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(folder_ / "page.html"));
}

TEST_F(PageTest, DataThatLooksLikeThePageStaysData) {
  const std::string recipe =
      "# </script><script>alert(1)</script> {{DATA}} /*{{JS}}*/ /*{{CSS}}*/ <!-- \\u003c & \xc3\xa9";
  const auto page = make_page({run("one", 1, "<b>{{DATA}}</b>", recipe)});
  const Json data = data_of(page);
  EXPECT_EQ(data.at("title").as_string(), "<b>{{DATA}}</b>");
  EXPECT_EQ(data.at("runs").at("one").at("recipe").as_string(), recipe);
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_EQ(page.find("<b>{{"), std::string::npos);
}

TEST_F(PageTest, TheAnswersStandInPlainTextToo) {
  const std::string summary =
      element_of(make_page({run("one", 1, "A & <b>title</b>")}), R"(<main id="content" tabindex="-1">)", "</main>");
  EXPECT_EQ(summary,
            "\n<h1>A &amp; &lt;b>title&lt;/b></h1>\n<ul>\n<li>A headline of one</li>\n</ul>\n<p>Arms: "
            "<code>one</code></p>\n");
}

TEST_F(PageTest, NumbersAndTheirUnitsDoNotBreakApart) {
  const std::string page = make_page({run("4.1 ± 0.2 nats, 50.0 % of all", 1)});
  EXPECT_THAT(page, HasSubstr("<li>A headline of 4.1\u00a0±\u00a00.2 nats, 50.0\u00a0% of all</li>"));
}

TEST_F(PageTest, ColumnsThatArmsShareAreThereOnce) {
  const Json one = data_of(make_page({run("one", 700)})), two = data_of(make_page({run("one", 700), run("two", 700)}));
  EXPECT_GT(one.at("columns").size(), 0u);
  EXPECT_EQ(two.at("columns"), one.at("columns"));
  EXPECT_EQ(two.at("runs").at("two").at("phases"), two.at("runs").at("one").at("phases"));
}

TEST_F(PageTest, ASentenceThatBeginsWithItsRunsNameIsNotGivenItTwice) {
  const auto own = run("own", 1);
  Json results = read_json(own / "results.json");
  results["headlines"] = Json::Array{"own: the router has collapsed", "owner: a sentence"};
  write_file_atomically(own / "results.json", results.dump());
  const auto data = data_of(make_page({own, run("two", 1)}));
  EXPECT_EQ(data.at("results").at("headlines").at(0).as_string(), "own: the router has collapsed");
  EXPECT_EQ(data.at("results").at("headlines").at(1).as_string(), "own: owner: a sentence");
}

TEST_F(PageTest, SeveralRunsBecomeTheArmsOfOnePage) {
  const auto data = data_of(make_page({run("one", 1, "First"), run("two", 1, "Second")}));
  EXPECT_EQ(data.at("kind").as_string(), "study");
  EXPECT_EQ(data.at("title").as_string(), "First");
  EXPECT_EQ(data.at("results").at("arms").size(), 2u);
  EXPECT_EQ(data.at("results").at("headlines").size(), 2u);
  EXPECT_EQ(data.at("results").at("tables").at("forgetting").at("rows").size(), 2u);
  EXPECT_NE(data.at("runs").find("two"), nullptr);
}

TEST_F(PageTest, FoldersOfOneNameAreToldApartByThoseAboveThem) {
  const Json runs = data_of(make_page({run("a/one", 1), run("b/one", 1), run("b/two", 1)}));
  for (const char* name : {"a/one", "b/one", "two"}) EXPECT_NE(runs.at("runs").find(name), nullptr) << name;
  EXPECT_EQ(runs.at("results").at("tables").at("forgetting").at("rows").at(1).at(0).as_string(), "b/one");
  const Json analyses = data_of(make_page({analysis("c/x/analysis") / "", analysis("d/x/analysis")}));
  EXPECT_EQ(analyses.at("analyses").at(0).at("name").as_string(), "c/x/analysis");
  EXPECT_EQ(analyses.at("analyses").at(1).at("name").as_string(), "d/x/analysis");
  EXPECT_EQ(
      data_of(make_page({folder_ / "c/x/analysis/", folder_ / "b/one"})).at("analyses").at(0).at("name").as_string(),
      "analysis");
  EXPECT_THAT(message_of<ConfigError>([&] {
                make_page({folder_ / "b/two/", folder_ / "a/../b/two"});
              }),
              HasSubstr("got this folder twice"));
}

// Every column that names arms or groups follows: the arm of a warning, and what tokens to a loss are measured against.
TEST_F(PageTest, TablesNameTheArmsOfTheirFolder) {
  const auto one = run("one", 2), two = run("two", 2);
  Json results = Json::parse(read_file(one / "results.json"), "results");
  results["kind"] = "study";
  results["tables"] = Json::parse(
      R"({"warnings":{"columns":[{"name":"arm"},{"name":"what"}],"rows":[["one","w"]]},"tokens_to_loss":{"columns":[{"name":"arm"},{"name":"reference"}],"rows":[["one","dense"]]},"recipe_warnings":{"columns":[{"name":"group"},{"name":"what"}],"rows":[["one","kept"]]}})",
      "t");
  write_file_atomically(one / "results.json", results.dump());
  const Json tables = data_of(make_page({one, two})).at("results").at("tables");
  EXPECT_EQ(tables.at("warnings").at("rows").dump(), R"([["one/one","w"]])");
  EXPECT_EQ(tables.at("tokens_to_loss").at("rows").dump(), R"([["one/one","one/dense"]])");
  EXPECT_EQ(tables.at("recipe_warnings").at("rows").dump(), R"([["one/one","kept"]])");
}

// A table may have got a column since an older folder was written.
TEST_F(PageTest, TablesOfDifferentColumnsAreMergedByName) {
  const auto one = run("one", 2), two = run("two", 2);
  const auto set_table = [](const std::filesystem::path& path, const std::string& table) {
    Json results = Json::parse(read_file(path / "results.json"), "results");
    results["tables"] = Json::parse(R"({"saturation":)" + table + "}", "t");
    write_file_atomically(path / "results.json", results.dump());
  };
  set_table(one, R"({"columns":[{"name":"arm"},{"name":"k"}],"rows":[["one",1]]})");
  set_table(two, R"({"columns":[{"name":"arm"},{"name":"from_run"},{"name":"k"}],"rows":[["two","first",2]]})");
  EXPECT_EQ(
      data_of(make_page({one, two})).at("results").at("tables").at("saturation").dump(),
      R"({"columns":[{"name":"arm"},{"name":"k"},{"name":"from_run"}],"rows":[["one",1,null],["two",2,"first"]]})");
  EXPECT_EQ(data_of(make_page({two, one})).at("results").at("tables").at("saturation").at("rows").dump(),
            R"([["two","first",2],["one",null,1]])");
}

TEST_F(PageTest, WhatAStudySaysOfItsArmsIsNotSaidOfSeveral) {
  const auto one = run("one", 2), two = run("two", 2);
  Json results = Json::parse(read_file(one / "results.json"), "results");
  results["comparison"] = Json::Object{{"other_differences", Json::array()}};
  write_file_atomically(one / "results.json", results.dump());
  EXPECT_NE(data_of(make_page({one})).at("results").find("comparison"), nullptr);
  EXPECT_EQ(data_of(make_page({one, two})).at("results").find("comparison"), nullptr);
}

TEST_F(PageTest, AnAnalysisKeepsItsTablesAndItsPairs) {
  const Json data = data_of(make_page({analysis("one", "layer,together\r\n0,12\r\n1,7\r\n")}));
  EXPECT_EQ(data.at("kind").as_string(), "analysis");
  EXPECT_EQ(data.at("title").as_string(), "Routing of M");
  const Json& only = data.at("analyses").at(0);
  EXPECT_EQ(only.at("name").as_string(), "Routing of M");
  EXPECT_EQ(only.at("pairs"), Json::parse(R"({"layer":[0,1],"together":[12,7]})", "p"));
  EXPECT_TRUE(only.at("changes").is_null());  // no such file
  EXPECT_EQ(only.at("results").at("tables").at("load").at("rows").size(), 1u);
}

TEST_F(PageTest, SeveralAnalysesStandSideBySideAndBesideARun) {
  const Json two = data_of(make_page({analysis("one"), analysis("two")}));
  EXPECT_EQ(two.at("title").as_string(), "Routing of 2 models");
  EXPECT_EQ(two.at("analyses").at(1).at("name").as_string(), "two");
  EXPECT_EQ(two.at("results").at("headlines").at(1).as_string(), "two: A headline of two");
  EXPECT_TRUE(two.at("analyses").at(0).at("pairs").is_null());
  const Json mixed = data_of(make_page({run("arm", 2), analysis("one")}));
  EXPECT_EQ(mixed.at("title").as_string(), "A title");
  EXPECT_EQ(mixed.at("analyses").size(), 1u);
  EXPECT_NE(mixed.at("runs").find("arm"), nullptr);
}

TEST_F(PageTest, RefusesPairsThatAreNoTable) {
  EXPECT_THAT(message_of<DataError>([&] { make_page({analysis("short", "a,b\n1\n")}); }),
              HasSubstr("coactivation_all.csv, line 2: got 1 fields; need 2"));
  EXPECT_THROW(make_page({analysis("text", "a,b\n1,x\n")}), DataError);
}

TEST_F(PageTest, RefusesWhatIsNoRun) {
  EXPECT_THROW(make_page({}), ConfigError);
  EXPECT_THAT(message_of<DataError>([&] { make_page({folder_ / "nowhere"}); }), HasSubstr("no such folder"));
  make_folders(folder_ / "empty");
  EXPECT_THAT(message_of<DataError>([&] { make_page({folder_ / "empty"}); }), HasSubstr("without results.json"));
  const auto path = run("one", 1);
  write_file_atomically(path / "results.json", R"({"schema":"x"})");
  EXPECT_THAT(message_of<DataError>([&] { make_page({path}); }), HasSubstr("got no 'kind'"));
  std::filesystem::remove(run("two", 1) / "metrics.jsonl");
  EXPECT_THAT(message_of<DataError>([&] { make_page({folder_ / "two"}); }), HasSubstr("metrics.jsonl"));
  std::filesystem::remove(run("three", 1) / "resolved.json");
  EXPECT_THAT(message_of<DataError>([&] { make_page({folder_ / "three"}); }), HasSubstr("resolved.json"));
  write_file_atomically(run("four", 1) / "metrics.jsonl",
                        testing::text_of(testing::made_step(1, "one", {})) + "{\"step\"\n");
  EXPECT_THAT(message_of<DataError>([&] { make_page({folder_ / "four"}); }), HasSubstr("line 2"));
}

TEST_F(PageTest, AValueOfAnotherKindIsNamedWithItsFileAndKey) {
  const auto path = run("a", 2);
  const Json results = Json::parse(read_file(path / "results.json"), "results");
  const auto message = [&](const std::function<void(Json&)>& change) {
    Json changed = results;
    change(changed);
    write_file_atomically(path / "results.json", changed.dump());
    return message_of<DataError>([&] { make_page({path}); });
  };
  EXPECT_THAT(message([](Json& json) { json["title"] = 3; }),
              HasSubstr("a/results.json: title: got integer; need string"));
  EXPECT_THAT(message([](Json& json) { json["headlines"].as_array()[0] = Json(); }),
              HasSubstr("a/results.json: headlines[0]: got null; need string"));
  EXPECT_THAT(message([](Json& json) { json["arms"].as_array()[0].erase("run"); }),
              HasSubstr("a/results.json: arms[0]: got no key 'run'; need it"));
  EXPECT_THAT(message([](Json& json) { json["tables"]["forgetting"]["rows"].as_array()[0] = 1; }),
              HasSubstr("a/results.json: tables.forgetting.rows[0]: got integer; need array"));
  EXPECT_THAT(message([](Json& json) { json["tables"]["forgetting"]["rows"].as_array()[0].push_back(1); }),
              HasSubstr("a/results.json: got a row of 2 values in the table forgetting; need 1"));
}

}  // namespace
}  // namespace evenkeel::report
