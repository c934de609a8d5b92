#include "core/append_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

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
  EXPECT_THAT(testing::message_of<MachineError>([&] { AppendFile(path, 4); }), ::testing::HasSubstr("short: got 3 bytes; need the first 4"));
  EXPECT_EQ(read_file(path), "abc");
  EXPECT_THROW(AppendFile(folder / "absent" / "x", 0), MachineError);
}

TEST(ReadAt, SaysWhereAFileEnds) {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("f", "abcdef");
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string out(3, ' ');
  EXPECT_TRUE(read_at(descriptor, path, 3, out.data(), 3));
  EXPECT_EQ(out, "def");
  EXPECT_FALSE(read_at(descriptor, path, 4, out.data(), 3));
  EXPECT_THROW(read_at(-1, path, 0, out.data(), 1), MachineError);
  close(descriptor);
}

}  // namespace
}  // namespace evenkeel
