// A file that grows by whole pieces while a run goes on, and is cut back where a run goes on from a checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace evenkeel {

class AppendFile {
 public:
  // Made when it is missing. What stands behind the first `kept_bytes` goes. MachineError when the disk refuses, or
  // when the file is shorter.
  AppendFile(std::filesystem::path path, int64_t kept_bytes);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  void append(std::string_view piece);  // MachineError
  void sync();                          // MachineError
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace evenkeel
