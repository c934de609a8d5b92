#include "report/check_page.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/json.h"
#include "report/compress.h"
#include "report/page.h"
#include "support/files.h"
#include "support/made_lines.h"

namespace evenkeel::report {
namespace {

using ::testing::HasSubstr;

class CheckPage : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<record::RunLine> lines;
    for (int step = 1; step <= 3; ++step) lines.emplace_back(testing::made_step(step, "one", {0.5}));
    folder_.write("metrics.jsonl", testing::text_of(lines));
    folder_.write("resolved.json", R"({"model":{"n_experts":4}})");
    write_results("A title", "A sentence.");
    write_page({folder_.path()}, folder_ / "report.html");
    page_ = read_file(folder_ / "report.html");
  }
  void write_results(const std::string& title, const std::string& sentence) const {
    const Json results = Json::Object{{"schema", "evenkeel.results.v1"},
                                      {"kind", "run"},
                                      {"title", title},
                                      {"headlines", Json::Array{sentence}},
                                      {"definitions", Json::object()},
                                      {"machine", Json::Object{{"evenkeel", version_}}},
                                      {"arms", Json::Array{Json::Object{{"name", "a"}, {"run", "."}}}},
                                      {"tables", Json::object()}};
    write_file_atomically(folder_ / "results.json", results.dump());
  }
  std::string message() const {
    return testing::message_of<DataError>([&] { check_page(folder_.path()); });
  }
  std::string message_with(const std::string& page) const {
    write_file_atomically(folder_ / "report.html", page);
    return message();
  }
  std::string page_with(const std::string& old_text, const std::string& new_text) const {
    std::string out = page_;
    out.replace(out.find(old_text), old_text.size(), new_text);
    return out;
  }
  // The page with its data changed and packed again.
  std::string with_data(const std::function<void(Json&)>& change) const {
    const std::string mark = "id=\"evenkeel-data\">";
    const size_t from = page_.find(mark) + mark.size();
    const std::string packed = page_.substr(from, page_.find('<', from) - from);
    Json data = Json::parse(*unpack_gzip_base64(packed, 1 << 24), "data");
    change(data);
    return page_with(packed, gzip_base64(data.dump()));
  }
  testing::TemporaryFolder folder_;
  std::string page_, version_ = EVENKEEL_VERSION;
};

TEST_F(CheckPage, TakesThePageOfTheFiles) {
  check_page(folder_.path());
  version_ = "0.0.1";  // whose texts are not known here
  write_results("A title", "A sentence.");
  write_page({folder_.path()}, folder_ / "report.html");
  page_ = read_file(folder_ / "report.html");
  write_file_atomically(folder_ / "report.html",
                        with_data([](Json& data) { data["results"]["definitions"]["new"] = "of another version"; }));
  check_page(folder_.path());
  write_file_atomically(folder_ / "report.html", page_with("Skip to the results", "To the results"));
  check_page(folder_.path());
}

TEST_F(CheckPage, TheFrameOfItsOwnVersionIsComparedToo) {
  const std::string words = "report.html: got another text around the data and the sentences, from line ";
  EXPECT_THAT(message_with(page_with("Skip to the results", "To the results")), HasSubstr(words));
  EXPECT_THAT(message_with(page_with("</main>", "</main>\n<p>All is well.</p>")), HasSubstr(words));
  EXPECT_THAT(message_with(page_ + "<p>More.</p>"), HasSubstr(words));
  EXPECT_THAT(message_with(page_with("\"use strict\";", "")), HasSubstr(words));
  EXPECT_THAT(message_with(with_data([](Json& data) { data["results"]["definitions"]["loss"] = "none"; })),
              HasSubstr("results.definitions.loss: got \"none\"; need no such key"));
}

TEST_F(CheckPage, NamesWhatItShowsOfOtherFiles) {
  write_results("A title", "Another sentence.");
  EXPECT_THAT(message(),
              HasSubstr("report.html: results.headlines[0]: got \"A sentence.\"; need \"Another sentence.\""));
  write_results("Another title", "A sentence.");
  EXPECT_THAT(message(), HasSubstr("got \"A title\"; need \"Another title\""));
  write_results("A title", "A sentence.");
  folder_.write("metrics.jsonl", testing::text_of(testing::made_step(1, "one", {0.5})));
  EXPECT_THAT(message(), HasSubstr("report.html: "));
}

TEST_F(CheckPage, NamesWhatWasChangedInIt) {
  EXPECT_THAT(message_with(with_data([](Json& data) { data["title"] = "T"; })),
              HasSubstr("report.html: title: got \"T\"; need \"A title\", which the files of"));
  EXPECT_THAT(message_with(page_with("<li>A sentence.", "<li>No sentence.")),
              HasSubstr("report.html: got other sentences"));
  EXPECT_THAT(message_with(page_with("id=\"evenkeel-data\">", "id=\"evenkeel-data\">AAAA")),
              HasSubstr("report.html: got data that do not unpack"));
  EXPECT_THAT(message_with("<html></html>"), HasSubstr("report.html: got no page of evenkeel report"));
  std::filesystem::remove(folder_ / "report.html");
  EXPECT_THAT(message(), HasSubstr("report.html: got no such file; need the page of a run or study that is finished"));
}

}  // namespace
}  // namespace evenkeel::report
