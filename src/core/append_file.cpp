#include "core/append_file.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/file_io.h"

namespace evenkeel {
namespace {

void require_done(bool is_done, const std::filesystem::path& path, const char* what) {
  require<MachineError>(is_done, path.string(), ": got '", std::strerror(errno), "' on ", what, "; need it to succeed");
}

}  // namespace

AppendFile::AppendFile(std::filesystem::path path, int64_t kept_bytes) : path_(std::move(path)) {
  const bool is_new = !std::filesystem::exists(path_);
  if (is_new) write_file_atomically(path_, "");
  descriptor_ = open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  require_done(descriptor_ >= 0, path_, "opening");
  struct stat status {};
  require_done(fstat(descriptor_, &status) == 0, path_, "reading");
  require<MachineError>(status.st_size >= kept_bytes, path_.string(), ": got ", status.st_size, " bytes; need the first ", kept_bytes);
  if (status.st_size == kept_bytes) return;
  require_done(ftruncate(descriptor_, kept_bytes) == 0, path_, "cutting");
  sync();
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void AppendFile::append(std::string_view piece) {
  while (!piece.empty()) {
    const ssize_t n = ::write(descriptor_, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    require_done(n >= 0, path_, "writing");
    piece.remove_prefix(static_cast<size_t>(n));
  }
}

void AppendFile::sync() { require_done(fsync(descriptor_) == 0, path_, "syncing"); }

bool read_at(int descriptor, const std::filesystem::path& path, int64_t offset_bytes, void* out, size_t size_bytes) {
  size_t done = 0;
  while (done < size_bytes) {
    const ssize_t n = pread(descriptor, static_cast<char*>(out) + done, size_bytes - done, offset_bytes + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    require_done(n >= 0, path, "reading");
    if (n == 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace evenkeel
