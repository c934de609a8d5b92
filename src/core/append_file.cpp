#include "core/append_file.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/file_io.h"

namespace evenkeel {
AppendFile::AppendFile(std::filesystem::path path, int64_t kept_bytes) : path_(std::move(path)) {
  const bool is_new = !std::filesystem::exists(path_);
  if (is_new) write_file_atomically(path_, "");
  descriptor_ = open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (descriptor_ < 0) fail_machine(path_, "opening");
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) fail_machine(path_, "reading");
  require<MachineError>(status.st_size >= kept_bytes, path_.string(), ": got ", status.st_size,
                        " bytes; need the first ", kept_bytes);
  if (status.st_size == kept_bytes) return;
  if (ftruncate(descriptor_, kept_bytes) != 0) fail_machine(path_, "cutting");
  sync();
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void AppendFile::append(std::string_view piece) {
  while (!piece.empty()) {
    const ssize_t n = ::write(descriptor_, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_machine(path_, "writing");
    piece.remove_prefix(static_cast<size_t>(n));
  }
}

void AppendFile::sync() {
  if (fsync(descriptor_) != 0) fail_machine(path_, "syncing");
}

}  // namespace evenkeel
