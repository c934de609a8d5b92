#include "core/mappings.h"

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "support/files.h"

namespace evenkeel {
namespace {

using ::testing::ExitedWithCode;
using ::testing::HasSubstr;

constexpr size_t kBytes = 1 << 20;

// Touches a page of a file of that the end was cut off after it was mapped.
void read_beyond(const fs::path& path) {
  install_mapping_faults();
  const MappedFile file(path);
  fs::resize_file(path, 5000);
  volatile const std::byte* data = file.data();
  static_cast<void>(data[kBytes - 1]);
}

TEST(MappingFaults, EndWithOneLineThatNamesTheFile) {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("a", std::string(kBytes, 'x'));
  EXPECT_EXIT(read_beyond(path), ExitedWithCode(4),
              "^evenkeel: error: " + path.string() +
                  ": got 5000 bytes while it is read; need the 1048576 that it had when it was opened\n$");
}

TEST(MappingFaults, GoWhereTheyAreToldTo) {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("a", std::string(kBytes, 'x')), log = folder.write("log.txt", "before\n");
  const auto read_as_an_arm = [&] {
    report_mapping_faults_to(STDERR_FILENO, "e 4 arm one: ");
    copy_mapping_faults_to(log.string());
    read_beyond(path);
  };
  EXPECT_EXIT(read_as_an_arm(), ExitedWithCode(4), "^e 4 arm one: " + path.string() + ": got 5000 bytes [^\n]*\n$");
  EXPECT_THAT(read_file(log), ::testing::StartsWith("before\nevenkeel: error: " + path.string() + ": got 5000 bytes"));
}

TEST(MappingFaults, LeaveNoTemporaryFile) {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("a", std::string(kBytes, 'x'));
  const auto read_while_writing = [&] {
    AtomicFile file(folder / "out");
    read_beyond(path);
  };
  EXPECT_EXIT(read_while_writing(), ExitedWithCode(4), "a: got 5000 bytes");
  EXPECT_THAT(folder.names(), ::testing::ElementsAre("a"));
}

TEST(MappingFaults, ThoseElsewhereKeepTheirSignal) {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("a", std::string(kBytes, 'x'));
  const auto read_another = [&] {
    install_mapping_faults();
    { const MappedFile forgotten(path); }
    const int descriptor = open(path.c_str(), O_RDONLY);
    auto* data = static_cast<volatile char*>(mmap(nullptr, kBytes, PROT_READ, MAP_PRIVATE, descriptor, 0));
    fs::resize_file(path, 0);
    static_cast<void>(data[kBytes - 1]);
  };
  EXPECT_EXIT(read_another(), ::testing::KilledBySignal(SIGBUS), "");
}

TEST(RequireWhole, NoticesWhatNoFaultTells) {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("a", "0123456789");
  const MappedFile file(path);
  EXPECT_NO_THROW(file.require_whole());
  fs::resize_file(path, 4);  // the rest of the page reads as zeros
  EXPECT_THAT(testing::message_of<MachineError>([&] { file.require_whole(); }),
              HasSubstr(path.string() + ": got 4 bytes while it is read; need the 10"));
  EXPECT_NO_THROW(MappedFile().require_whole());
}

TEST(RequireWhole, AFileThatAnotherReplacedIsStillMapped) {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("a", "0123456789");
  MappedFile file(path);
  fs::rename(folder.write("b", "x"), path);
  EXPECT_NO_THROW(file.require_whole());
  const MappedFile moved = std::move(file);
  fs::remove(path);
  EXPECT_NO_THROW(moved.require_whole());
  EXPECT_EQ(moved.text(), "0123456789");
}

TEST(Mappings, AnEntryIsUsedAgain) {
  const testing::TemporaryFolder folder;
  const auto path = folder.write("a", "x");
  Mapping* const first = list_mapping(path.c_str(), 1, {path.string(), 0, 0});
  forget_mapping(first);
  Mapping* const second = list_mapping(path.c_str(), 1, {path.string(), 0, 0});
  EXPECT_EQ(first, second);
  forget_mapping(second);
}

}  // namespace
}  // namespace evenkeel
