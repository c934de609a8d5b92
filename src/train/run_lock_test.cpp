#include "train/run_lock.h"

#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/errors.h"

namespace evenkeel::train {
namespace {

TEST(RunLock, LetsOneWriterIn) {
  const auto folder = std::filesystem::temp_directory_path() / ("evenkeel-run-lock-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  {
    const RunLock lock(folder);
    EXPECT_THROW(RunLock{folder}, ConfigError);
  }
  EXPECT_NO_THROW(RunLock{folder});  // free again
  std::filesystem::remove_all(folder);
  EXPECT_THROW(RunLock{folder}, MachineError);  // no such folder
}

TEST(RemoveTemporaryFiles, LeavesWhatHasAnotherName) {
  const auto folder = std::filesystem::temp_directory_path() / ("evenkeel-temporary-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder / "a.tmp12");
  for (const char* name : {"a.json.tmp123", "a.json", "notes.tmpx", "b.tmp"}) std::ofstream(folder / name) << "x";
  remove_temporary_files(folder);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.json.tmp123"));
  for (const char* name : {"a.json", "notes.tmpx", "b.tmp", "a.tmp12"}) EXPECT_TRUE(std::filesystem::exists(folder / name)) << name;
  std::filesystem::remove_all(folder);
  EXPECT_NO_THROW(remove_temporary_files(folder));
}

}  // namespace
}  // namespace evenkeel::train
