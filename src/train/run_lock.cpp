#include "train/run_lock.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/output.h"

namespace evenkeel::train {

RunLock::RunLock(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / ".lock";
  descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
  require<MachineError>(descriptor_ >= 0, path.string(), ": got '", std::strerror(errno),
                        "' on opening; need it to succeed");
  constexpr auto kPause = std::chrono::milliseconds(20);
  for (int pauses_left = 50; flock(descriptor_, LOCK_EX | LOCK_NB) != 0;
       --pauses_left) {  // one that was killed takes a moment to be gone
    if (pauses_left == 0) {
      close(descriptor_);
      fail<ConfigError>(folder.string(), ": got a folder that another process is writing; need it to end first");
    }
    std::this_thread::sleep_for(kPause);
  }
  if (pwrite(descriptor_, kFolderMark.data(), kFolderMark.size(), 0) != static_cast<ssize_t>(kFolderMark.size())) {
    const int write_error = errno;
    close(descriptor_);
    fail<MachineError>(path.string(), ": got '", std::strerror(write_error), "' on writing; need it to succeed");
  }
}

RunLock::~RunLock() { close(descriptor_); }

}  // namespace evenkeel::train
