#include "data/skipped_lines.h"

#include "core/output.h"
#include "core/errors.h"
#include "core/json_lines.h"
#include "data/test_support.h"

namespace evenkeel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(SkippedLines, ListsTheirPlaces) {
  const TemporaryFolder folder;
  const fs::path input = "in.jsonl";
  SkippedLines skipped(folder / "p.skipped.jsonl");
  skipped.add({input, 3, 17, "got 1; need 2"});
  skipped.add({input, 9, 170, "got \"\xff\"; need UTF-8"});
  EXPECT_THAT(folder.names(), testing::Not(ElementsAre("p.skipped.jsonl")));  // under its temporary name
  skipped.commit();
  const auto lines = read_json_lines(folder / "p.skipped.jsonl");
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].dump(),
            R"({"format":"evenkeel.skipped.v1","path":"in.jsonl","line":3,"byte":17,"reason":"got 1; need 2"})");
  EXPECT_EQ(skipped.n_lines(), 2);
}

TEST(SkippedLines, NamesRowsAsRows) {
  const TemporaryFolder folder;
  const fs::path input = "in.parquet";
  SkippedLines skipped(folder / "p.skipped.jsonl");
  skipped.add({input, 3, 0, "got 1; need 2", RecordUnit::row});
  skipped.commit();
  EXPECT_EQ(read_json_lines(folder / "p.skipped.jsonl").at(0).dump(),
            R"({"format":"evenkeel.skipped.v1","path":"in.parquet","row":3,"reason":"got 1; need 2"})");
}

TEST(SkippedLines, ReplacesAndRemovesItsOwnFileAlone) {
  const TemporaryFolder folder;
  const fs::path input = "in.jsonl", path = folder / "p.skipped.jsonl";
  for (int64_t line = 1; line <= 2; ++line) {
    SkippedLines skipped(path);
    skipped.add({input, line, 0, "x"});
    skipped.commit();
    EXPECT_EQ(read_json_lines(path).at(0).at("line").as_int(), line);
  }
  SkippedLines(path).commit();
  EXPECT_THAT(folder.names(), ElementsAre());
  for (const auto* foreign : {"", "{\"text\": \"mine\"}\n", "not JSON"}) {
    folder.write("p.skipped.jsonl", foreign);
    EXPECT_FALSE(is_own({path, OutputKind::skipped}));
    SkippedLines(path).commit();
    EXPECT_EQ(read_file(path), foreign);
  }
}

}  // namespace
}  // namespace evenkeel::data
