#include "train/run_lock.h"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/file_io.h"
#include "core/output.h"

namespace evenkeel::train {
namespace {

TEST(RunLock, LetsOneWriterIn) {
  const auto folder = std::filesystem::temp_directory_path() / ("evenkeel-run-lock-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  {
    const RunLock lock(folder);
    EXPECT_THROW(RunLock{folder}, ConfigError);
    EXPECT_EQ(read_file(folder / ".lock"), kFolderMark);
  }
  EXPECT_NO_THROW(RunLock{folder});  // free again
  std::filesystem::remove(folder / ".lock");
  std::filesystem::create_symlink("elsewhere", folder / ".lock");
  EXPECT_THROW(RunLock{folder}, MachineError);  // nothing is written through a link
  std::filesystem::remove_all(folder);
  EXPECT_THROW(RunLock{folder}, MachineError);  // no such folder
}

}  // namespace
}  // namespace evenkeel::train
