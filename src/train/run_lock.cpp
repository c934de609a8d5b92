#include "train/run_lock.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/errors.h"

namespace evenkeel::train {

RunLock::RunLock(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / ".lock";
  descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  require<MachineError>(descriptor_ >= 0, path.string(), ": got '", std::strerror(errno), "' on opening; need it to succeed");
  constexpr auto kPause = std::chrono::milliseconds(20);
  for (int pauses_left = 50; flock(descriptor_, LOCK_EX | LOCK_NB) != 0; --pauses_left) {  // one that was killed takes a moment to be gone
    if (pauses_left == 0) {
      close(descriptor_);
      fail<ConfigError>(folder.string(), ": got a folder that another process is writing; need it to end first");
    }
    std::this_thread::sleep_for(kPause);
  }
}

RunLock::~RunLock() { close(descriptor_); }

void remove_temporary_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  std::error_code error;  // no such folder: nothing to remove
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const size_t end = name.rfind(".tmp");
    const bool is_temporary = end != std::string::npos && end + 4 < name.size() && name.find_first_not_of("0123456789", end + 4) == std::string::npos;
    if (is_temporary && entry.is_regular_file()) found.push_back(entry.path());
  }
  for (const auto& path : found) std::filesystem::remove(path);
}

}  // namespace evenkeel::train
