#include "core/append_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "support/files.h"

namespace evenkeel {
namespace {

TEST(AppendFile, IsMadeGrowsAndIsCut) {
  const testing::TemporaryFolder folder;
  const auto path = folder / "a.jsonl";
  {
    AppendFile file(path, 0);
    EXPECT_EQ(read_file(path), "");
    file.append("one\n");
    file.append("two\n");
    file.sync();
  }
  EXPECT_EQ(read_file(path), "one\ntwo\n");
  {
    AppendFile file(path, 4);
    EXPECT_EQ(read_file(path), "one\n");
    file.append("three\n");
  }
  EXPECT_EQ(read_file(path), "one\nthree\n");
}

TEST(AppendFile, RefusesAFileThatLacksWhatIsKept) {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("short", "abc");
  EXPECT_THAT(testing::message_of<MachineError>([&] { AppendFile(path, 4); }),
              ::testing::HasSubstr("short: got 3 bytes; need the first 4"));
  EXPECT_EQ(read_file(path), "abc");
  EXPECT_THROW(AppendFile(folder / "absent" / "x", 0), MachineError);
}

}  // namespace
}  // namespace evenkeel
