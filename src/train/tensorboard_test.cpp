#include "train/tensorboard.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/file_io.h"
#include "support/files.h"

namespace evenkeel::train {
namespace {

using testing::TemporaryFolder;

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
  for (const int64_t first_step : {0, 5, 9})
    TensorBoardFile(folder.path(), first_step).scalar("a", 1.0, first_step + 1);
  for (const char* name : {"events.out.tfevents.1700000000.host", "events.out.tfevents.1700000000.evenkeel",
                           "events.out.tfevents.0000000007.evenkeel", "notes.txt"})
    folder.write(name, "kept");
  TensorBoardFile again(folder.path(), 5);
  EXPECT_THAT(folder.names(), ::testing::ElementsAre(
                                  "events.out.tfevents.0000000000.evenkeel", "events.out.tfevents.0000000005.evenkeel",
                                  "events.out.tfevents.0000000007.evenkeel", "events.out.tfevents.1700000000.evenkeel",
                                  "events.out.tfevents.1700000000.host", "notes.txt"));
  EXPECT_EQ(read_records(read_file(folder / "events.out.tfevents.0000000005.evenkeel")).size(), 2u);
  EXPECT_EQ(read_records(read_file(folder / "events.out.tfevents.0000000000.evenkeel")).size(),
            2u);  // no session before the first step
}

}  // namespace
}  // namespace evenkeel::train
