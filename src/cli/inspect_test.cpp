#include "cli/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "data/indexed_dataset.h"
#include "support/files.h"
#include "support/made_lines.h"

namespace evenkeel::cli {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::TemporaryFolder;

template <class F>
std::string stdout_of(F&& call) {
  ::testing::internal::CaptureStdout();
  try {
    call();
  } catch (...) {
    ::testing::internal::GetCapturedStdout();
    throw;
  }
  return ::testing::internal::GetCapturedStdout();
}

std::string metrics() {
  const auto step = [](int64_t number, const char* phase, double loss) {
    auto row = testing::made_step(number, phase, {});
    row.loss = loss;
    return row;
  };
  return testing::text_of({step(1, "a", 4.5), step(2, "a", 4.25),
                           testing::made_evaluation(2, "a", {{"en", testing::made_result(4.123456789012345)}}),
                           step(3, "b", 3.5)});
}

TEST(Inspect, ShowsThePhasesOfARun) {
  const TemporaryFolder folder;
  folder.write("metrics.jsonl", metrics());
  const std::string phases =
      "  phase a: steps 1 to 2, last loss 4.2500\n"
      "    held out en: loss 4.1235\n"
      "  phase b: steps 3 to 3, last loss 3.5000\n";
  EXPECT_EQ(stdout_of([&] { inspect_run(folder.path()); }),
            "evenkeel run: " + folder.path().string() + ", not finished\n" + phases);
  EXPECT_EQ(stdout_of([&] { inspect_metrics(folder / "metrics.jsonl"); }), "metrics of a run: 4 lines\n" + phases);
  folder.write("metrics.jsonl", "{\"step\": 1}\n");
  EXPECT_THAT(message_of<DataError>([&] { inspect_metrics(folder / "metrics.jsonl"); }),
              HasSubstr("metrics.jsonl, line 1: got no 'phase'"));
}

TEST(Inspect, ShowsADataSetWithItsDescription) {
  const TemporaryFolder folder;
  data::IndexedDatasetWriter writer(folder / "en", 100);
  writer.add_document({1, 2, 3});
  writer.commit();
  const std::string bare = stdout_of([&] { inspect_dataset(folder / "en"); });
  EXPECT_THAT(bare, HasSubstr("indexed dataset, version 1: 3 tokens, 1 document,"));
  EXPECT_THAT(bare, HasSubstr("no description"));
  folder.write("en.json",
               R"({"format": "evenkeel.data.v1", "tokens": 3, "bytes": 7, "eod": 2, "inputs": [{"path": "en.txt"}]})");
  for (const auto& text :
       {stdout_of([&] { inspect_dataset(folder / "en"); }), stdout_of([&] { inspect_json(folder / "en.json"); })}) {
    EXPECT_THAT(text, HasSubstr("3 tokens"));
    EXPECT_THAT(text, HasSubstr("  eod: 2\n"));
    EXPECT_THAT(text, HasSubstr("  input: \"en.txt\"\n"));
  }
}

TEST(Inspect, TellsTheKindsOfJson) {
  const TemporaryFolder folder;
  const auto shown = [&](const std::string& text) {
    return stdout_of([&] { inspect_json(folder.write("a.json", text)); });
  };
  EXPECT_EQ(shown(R"({"format": "x"})"), "JSON object, format \"x\"\n");
  EXPECT_THAT(shown(R"({"model_type": "llama"})"), HasSubstr("Hugging Face model of type \"llama\""));
  EXPECT_THAT(shown(R"({"n_experts": 4, "counts": []})"), HasSubstr("counts of experts (analyze --counts)"));
  EXPECT_EQ(
      shown(
          R"({"schema": "s", "kind": "run", "arms": [1], "headlines": ["It works."], "tables": {"t": {"rows": [1, 2]}}})"),
      "evenkeel run: " + (folder / "a.json").string() + ", s, 1 arm\n  It works.\n  t: 2 rows\n");
  EXPECT_THAT(message_of<DataError>([&] { shown(R"({"schema": "s", "kind": "run", "tables": {"t": {}}})"); }),
              HasSubstr("a.json: tables.t: got no key 'rows'"));
}

}  // namespace
}  // namespace evenkeel::cli
