#include "core/input_file.h"

#include <cerrno>

#include <sys/stat.h>
#include <unistd.h>

#include "core/file_io.h"

namespace evenkeel {

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  int64_t size_bytes = 0;
  descriptor_ = open_for_reading(path_, size_bytes);
}

InputFile::~InputFile() { close(descriptor_); }

size_t InputFile::read_up_to(int64_t offset_bytes, void* out, size_t most_bytes) const {
  size_t done = 0;
  while (done < most_bytes) {
    const ssize_t n = pread(descriptor_, static_cast<char*>(out) + done, most_bytes - done,
                            offset_bytes + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_machine(path_, "reading");
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

int64_t InputFile::size_bytes() const {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) fail_machine(path_, "reading");
  return status.st_size;
}

}  // namespace evenkeel
