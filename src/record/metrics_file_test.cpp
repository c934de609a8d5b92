#include "record/metrics_file.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "record/run_reader.h"
#include "support/files.h"
#include "support/made_lines.h"

namespace evenkeel::record {
namespace {

using ::testing::HasSubstr;
using testing::made_step;
using testing::message_of;
using testing::one_layer_evaluation;
using testing::one_layer_step;
using testing::TemporaryFolder;
using testing::text_of;

constexpr int64_t kMany = kMostLoadsInLines + 1;

TEST(MetricsFile, CutsLinesBeyondTheCheckpointAndTornOnes) {
  const TemporaryFolder folder;
  const std::string kept = text_of({one_layer_step(1), one_layer_step(2), one_layer_evaluation(2)});
  const auto path = folder.write("metrics.jsonl", kept + text_of({one_layer_step(3)}) + "{\"step\":4");
  {
    MetricsFile file(path, 2, 4);
    EXPECT_TRUE(file.has<EvaluationRow>());
    EXPECT_FALSE(file.has<SaturationRow>());
    file.write(one_layer_step(3));
    EXPECT_FALSE(file.has<EvaluationRow>());
    file.sync();
  }
  EXPECT_EQ(read_file(path), kept + text_of(one_layer_step(3)));
}

TEST(MetricsFile, StartsEmptyAtStepZero) {
  const TemporaryFolder folder;
  const auto path = folder.write("metrics.jsonl", text_of(one_layer_step(1)));
  folder.write("load.columns", "of a run before");
  { MetricsFile file(path, 0, 4); }
  EXPECT_EQ(read_file(path), "");
  EXPECT_FALSE(std::filesystem::exists(folder / "load.columns"));
  { MetricsFile(folder / "new.jsonl", 0, 4).write(one_layer_step(1)); }
  EXPECT_EQ(read_file(folder / "new.jsonl"), text_of(one_layer_step(1)));
}

TEST(MetricsFile, NeedsTheLinesThatACheckpointReliesOn) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { MetricsFile(folder / "new.jsonl", 7, 4); }),
              HasSubstr("new.jsonl: got lines up to step 0; need those up to step 7"));
  const std::string lines = text_of({one_layer_step(1), one_layer_step(2)});
  const auto path = folder.write("metrics.jsonl", lines);
  EXPECT_THAT(message_of<DataError>([&] { MetricsFile(path, 3, 4); }), HasSubstr("got lines up to step 2"));
  EXPECT_EQ(read_file(path), lines);
}

TEST(MetricsFile, RefusesWhatCannotBeReadBack) {
  const TemporaryFolder folder;
  EXPECT_THROW(MetricsFile(folder / "no" / "metrics.jsonl", 0, 4), MachineError);
  MetricsFile file(folder / "metrics.jsonl", 0, 4);
  StepRow row = made_step(1, "a", {0.5});
  row.routing[0].cv = NAN;
  EXPECT_THAT(message_of<NumericsError>([&] { file.write(row); }),
              HasSubstr("step 1: got nan as 'routing.cv'; need a finite number"));
  EXPECT_EQ(read_file(folder / "metrics.jsonl"), "");
}

// Lines without loads, and the loads in a file of their own: written, cut, torn and read together.
TEST(MetricsFile, OfManyExpertsHasItsLoadsBeside) {
  const TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  StepRow second = made_step(2, "a", {0.5});
  testing::set_load(second.routing[0], {0.25, 0.25, 0.5, 0.0});
  EvaluationRow held =
      testing::made_evaluation(2, "a", {{"x", testing::made_result(2, {0.5})}, {"y", testing::made_result(3, {0.5})}});
  for (auto& [data, result] : held.eval) result.routing = testing::made_routing({0.5});
  {
    MetricsFile file(path, 0, kMany);
    for (const RunLine& line : {one_layer_step(1), RunLine(second), RunLine(held), one_layer_step(3)}) file.write(line);
    file.sync();
  }
  EXPECT_THAT(read_file(path), ::testing::Not(HasSubstr("load")));
  const auto lines = read_run_lines(path);
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(to_json(lines[1]), to_json(RunLine(second)));
  EXPECT_EQ(to_json(lines[2]), to_json(RunLine(held)));

  const std::string loads = read_file(folder / "load.columns");
  { MetricsFile(path, 2, kMany).write(one_layer_step(3)); }
  EXPECT_EQ(read_file(folder / "load.columns"), loads);
  EXPECT_EQ(read_run_lines(path).size(), 4u);

  // A crash that kept a line and lost its loads, or a part of them: the line counts as not written.
  write_file_atomically(folder / "load.columns", loads.substr(0, loads.size() - 3));
  EXPECT_EQ(read_run_lines(path).size(), 3u);
  EXPECT_THAT(message_of<DataError>([&] { MetricsFile(path, 3, kMany); }), HasSubstr("got lines up to step 2"));
  { MetricsFile(path, 2, kMany).write(one_layer_step(3)); }
  EXPECT_EQ(read_file(folder / "load.columns"), loads);

  // What is damaged, or gone, is found before a run goes on.
  std::string damaged = loads;
  damaged[45] = static_cast<char>(damaged[45] ^ 1);
  write_file_atomically(folder / "load.columns", damaged);
  EXPECT_THAT(message_of<DataError>([&] { MetricsFile(path, 3, kMany); }),
              HasSubstr("load.columns, step 1: got a damaged record"));
  std::filesystem::remove(folder / "load.columns");
  const std::string text = read_file(path);
  EXPECT_THAT(message_of<DataError>([&] { MetricsFile(path, 3, kMany); }),
              HasSubstr("load.columns: got no such file; need the loads that"));
  EXPECT_THAT(message_of<DataError>([&] { read_run_lines(path); }), HasSubstr("load.columns: got no such file"));
  EXPECT_FALSE(std::filesystem::exists(folder / "load.columns"));
  EXPECT_EQ(read_file(path), text);
}

}  // namespace
}  // namespace evenkeel::record
