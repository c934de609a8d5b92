// A file that is read at places of its own, while it may grow.
#pragma once

#include <cstdint>
#include <filesystem>

namespace evenkeel {

class InputFile {
 public:
  explicit InputFile(std::filesystem::path path);  // errors as open_for_reading
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  // Up to so many bytes from a place on, and how many they are: fewer only where the file ends. MachineError names the
  // path.
  size_t read_up_to(int64_t offset_bytes, void* out, size_t most_bytes) const;
  // Fills `out`; false where the file ends before.
  bool read(int64_t offset_bytes, void* out, size_t size_bytes) const {
    return read_up_to(offset_bytes, out, size_bytes) == size_bytes;
  }
  int64_t size_bytes() const;  // now
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace evenkeel
