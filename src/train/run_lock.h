// One writer at a time in a run or study folder, and what a writer that was killed left there.
#pragma once

#include <filesystem>

namespace evenkeel::train {

// An advisory lock that the kernel frees whatever ends the process. ConfigError when another process holds it.
class RunLock {
 public:
  explicit RunLock(const std::filesystem::path& folder);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_;
};

// Removes the temporary files (core/file_io.h) in `folder`, not in folders below. For the holder of its lock.
void remove_temporary_files(const std::filesystem::path& folder);

}  // namespace evenkeel::train
