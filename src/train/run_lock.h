// One writer at a time in a run or study folder, and the mark by which the folder is known (core/output.h).
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

}  // namespace evenkeel::train
