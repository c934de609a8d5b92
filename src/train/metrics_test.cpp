#include "train/metrics.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/run_lines.h"
#include "support/files.h"

namespace evenkeel::train {
namespace {

using ::testing::HasSubstr;
using testing::message_of;
using testing::TemporaryFolder;

Json line_of(int64_t step, const char* key = "loss") { return Json::Object{{"step", step}, {"phase", "a"}, {key, 0.5}}; }

TEST(MetricsFile, CutsLinesBeyondTheCheckpointAndTornOnes) {
  const TemporaryFolder folder;
  const auto path = folder.write("metrics.jsonl", "{\"step\":1,\"phase\":\"a\",\"loss\":1}\n{\"step\":2,\"phase\":\"a\",\"loss\":1}\n{\"step\":2,\"phase\":\"a\",\"eval\":{}}\n{\"step\":3,\"phase\":\"a\",\"loss\":1}\n{\"step\":4");
  {
    MetricsFile file(path, 2);
    file.write(line_of(3));
    file.sync();
  }
  EXPECT_EQ(read_file(path), "{\"step\":1,\"phase\":\"a\",\"loss\":1}\n{\"step\":2,\"phase\":\"a\",\"loss\":1}\n{\"step\":2,\"phase\":\"a\",\"eval\":{}}\n{\"step\":3,\"phase\":\"a\",\"loss\":0.5}\n");
}

TEST(MetricsFile, StartsEmptyAtStepZero) {
  const TemporaryFolder folder;
  const auto path = folder.write("metrics.jsonl", "{\"step\":1,\"phase\":\"a\",\"loss\":1}\n");
  { MetricsFile file(path, 0); }
  EXPECT_EQ(read_file(path), "");
  { MetricsFile(folder / "new.jsonl", 0).write(line_of(1)); }
  EXPECT_EQ(read_file(folder / "new.jsonl"), "{\"step\":1,\"phase\":\"a\",\"loss\":0.5}\n");
}

TEST(MetricsFile, NeedsTheLinesThatACheckpointReliesOn) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<DataError>([&] { MetricsFile(folder / "new.jsonl", 7); }), HasSubstr("new.jsonl: got lines up to step 0; need those up to step 7"));
  const std::string lines = "{\"step\":1,\"phase\":\"a\",\"loss\":1}\n{\"step\":2,\"phase\":\"a\",\"loss\":1}\n";
  const auto path = folder.write("metrics.jsonl", lines);
  EXPECT_THAT(message_of<DataError>([&] { MetricsFile(path, 3); }), HasSubstr("got lines up to step 2"));
  EXPECT_EQ(read_file(path), lines);
}

TEST(MetricsFile, RefusesAFolderThatIsNotThere) {
  const TemporaryFolder folder;
  EXPECT_THROW(MetricsFile(folder / "no" / "metrics.jsonl", 0), MachineError);
}

TEST(ReadMetrics, LeavesOutATornLastLineAndNamesADamagedOne) {
  const TemporaryFolder folder;
  const auto lines = read_run_lines(folder.write("m.jsonl", "{\"step\":1,\"phase\":\"a\",\"loss\":1}\n{\"step\":2,\"phase\":\"a\",\"loss\":1}\n{\"st"));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].at("step").as_int(), 2);
  EXPECT_THAT(message_of<DataError>([&] { read_run_lines(folder.write("m.jsonl", "{\"step\":1,\"phase\":\"a\",\"loss\":1}\n{\"step\":\n{\"step\":3,\"phase\":\"a\",\"loss\":1}\n")); }), HasSubstr("line 2"));
  EXPECT_THAT(message_of<DataError>([&] { read_run_lines(folder.write("m.jsonl", "{\"step\":1,\"phase\":\"a\",\"loss\":1}\n{\"loss\":2}\n")); }), HasSubstr("line 2: got a line without a step"));
}

TEST(MetricsFile, NamesTheLineThatIsDamaged) {
  const TemporaryFolder folder;
  const std::string good = line_of(1).dump() + "\n";
  const auto message = [&](const std::string& line) {
    const auto path = folder.write("m.jsonl", good + line + "\n");
    return message_of<DataError>([&] { MetricsFile(path, 2); });
  };
  EXPECT_THAT(message("{\"step\":"), HasSubstr("m.jsonl, line 2: got text that is not JSON"));
  EXPECT_THAT(message("{\"step\":2}"), HasSubstr("m.jsonl, line 2: got a line without a phase"));
  EXPECT_THAT(message("{\"step\":2,\"phase\":\"a\",\"loss\":\"low\"}"), HasSubstr("m.jsonl, line 2: got string as 'loss'; need a number"));
}

TEST(ReadMetrics, NamesWhereStepsAreMissing) {
  const TemporaryFolder folder;
  const auto path = folder.write("m.jsonl", "{\"step\":1,\"phase\":\"a\",\"loss\":1}\n{\"step\":1,\"phase\":\"a\",\"eval\":{}}\n{\"step\":3,\"phase\":\"a\",\"loss\":1}\n");
  EXPECT_THAT(message_of<DataError>([&] { read_run_lines(path); }), HasSubstr("line 3: got step 3 after step 1"));
  EXPECT_THAT(message_of<DataError>([&] { MetricsFile(path, 3); }), HasSubstr("line 3: got step 3 after step 1"));
  EXPECT_THAT(message_of<DataError>([&] { read_run_lines(folder.write("m.jsonl", "{\"step\":2,\"phase\":\"a\",\"loss\":1}\n")); }), HasSubstr("line 1: got step 2 after step 0"));
  EXPECT_THAT(message_of<DataError>([&] { read_run_lines(folder.write("m.jsonl", "{\"step\":1,\"phase\":\"a\",\"loss\":1}\n{\"step\":2,\"phase\":\"a\",\"loss\":1}\n{\"step\":1,\"phase\":\"a\",\"loss\":1}\n")); }), HasSubstr("line 3: got step 1 after step 2"));
}

TEST(Crc32c, MatchesRfc3720) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

uint32_t fixed32(std::string_view bytes) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}
uint32_t masked(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

// The messages of a TFRecord file, each: u64 length, its masked CRC, the message, its masked CRC.
std::vector<std::string> read_records(std::string_view file) {
  std::vector<std::string> out;
  while (!file.empty()) {
    uint64_t size = 0;
    std::memcpy(&size, file.data(), 8);
    EXPECT_EQ(fixed32(file.substr(8)), masked(file.substr(0, 8)));
    out.emplace_back(file.substr(12, size));
    EXPECT_EQ(fixed32(file.substr(12 + size)), masked(out.back()));
    file.remove_prefix(16 + size);
  }
  return out;
}

TEST(TensorBoardFile, WritesEventsThatItsReadersKnow) {
  const TemporaryFolder folder;
  {
    TensorBoardFile file(folder / "tb", 12);
    file.scalar("a", 1.5, 300);
  }
  const std::string bytes = read_file(folder / "tb" / "events.out.tfevents.0000000012.evenkeel");
  // The first bytes of every event file: length 24, its masked CRC, tag of the wall time.
  EXPECT_EQ(bytes.substr(0, 13), std::string("\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22\x09", 13));
  const auto records = read_records(bytes);
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].substr(9),
            "\x1a\x0d"
            "brain.Event:2");
  EXPECT_EQ(records[1].substr(9), "\x10\x0d\x3a\x02\x08\x01");  // step 13; session_log { status: START }
  // wall_time (double); step (varint 300); summary { value { tag "a"; simple_value 1.5f } }
  EXPECT_EQ(records[2][0], '\x09');
  EXPECT_EQ(records[2].substr(9), std::string("\x10\xac\x02\x2a\x0a\x0a\x08\x0a\x01"
                                              "a\x15\x00\x00\xc0\x3f",
                                              15));
}

TEST(TensorBoardFile, AResumeTakesAwayTheFilesOfLaterSteps) {
  const TemporaryFolder folder;
  for (const int64_t first_step : {0, 5, 9}) TensorBoardFile(folder.path(), first_step).scalar("a", 1.0, first_step + 1);
  for (const char* name : {"events.out.tfevents.1700000000.host", "events.out.tfevents.1700000000.evenkeel", "events.out.tfevents.0000000007.evenkeel", "notes.txt"}) folder.write(name, "kept");
  TensorBoardFile again(folder.path(), 5);
  EXPECT_THAT(folder.names(), ::testing::ElementsAre("events.out.tfevents.0000000000.evenkeel", "events.out.tfevents.0000000005.evenkeel", "events.out.tfevents.0000000007.evenkeel", "events.out.tfevents.1700000000.evenkeel",
                                                     "events.out.tfevents.1700000000.host", "notes.txt"));
  EXPECT_EQ(read_records(read_file(folder / "events.out.tfevents.0000000005.evenkeel")).size(), 2u);
  EXPECT_EQ(read_records(read_file(folder / "events.out.tfevents.0000000000.evenkeel")).size(), 2u);  // no session before the first step
}

}  // namespace
}  // namespace evenkeel::train
