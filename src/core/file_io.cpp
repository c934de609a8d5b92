#include "core/file_io.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <csignal>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/mappings.h"
#include "core/sha256.h"

namespace evenkeel {
void fail_machine(const fs::path& path, const char* action) {
  fail<MachineError>(path.string(), ": got '", std::strerror(errno), "' on ", action, "; need it to succeed");
}

int open_for_reading(const fs::path& path, int64_t& size_bytes) {
  const int descriptor =
      open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);  // a pipe that nobody writes to would wait for ever
  if (descriptor < 0) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG || errno == ELOOP)
      fail<DataError>(path.string(), ": got no such file; need a readable file");
    fail_machine(path, "opening");
  }
  struct stat info {};
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(descriptor);
    fail<DataError>(path.string(), ": got a folder or special file; need a regular file");
  }
  size_bytes = info.st_size;
  return descriptor;
}

namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr std::string_view kTemporaryPrefix = ".evenkeel-";  // a name that nobody else gives
constexpr std::string_view kTemporarySuffix = ".tmp";        // and the number of the process

void read_in_pieces(const fs::path& path, const std::function<void(std::string_view)>& take) {
  int64_t size_bytes = 0;
  const int descriptor = open_for_reading(path, size_bytes);
  int64_t n_read = 0;
  std::string buffer(kBufferBytes, '\0');
  for (;;) {
    const ssize_t n = read(descriptor, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      close(descriptor);
      fail_machine(path, "reading");
    }
    if (n == 0) break;
    n_read += n;
    take(std::string_view(buffer).substr(0, static_cast<size_t>(n)));
  }
  close(descriptor);
  require<MachineError>(n_read >= size_bytes, path.string(), ": got ", n_read, " bytes; need the ", size_bytes,
                        " that it had when it was opened (it must not change while it is read)");
}

}  // namespace

std::string read_file(const fs::path& path, int64_t max_bytes) {
  int64_t size_bytes = 0;
  close(open_for_reading(path, size_bytes));
  require<DataError>(size_bytes <= max_bytes, path.string(), ": got ", size_bytes, " bytes; need at most ", max_bytes);
  std::string out;
  out.reserve(static_cast<size_t>(size_bytes));
  read_in_pieces(path, [&](std::string_view piece) { out += piece; });
  return out;
}

namespace {
// Names of the temporary files of this process. More at a time than there are slots are not listed.
std::array<std::atomic<const char*>, 64> temporary_files{};

size_t list_temporary(const char* path) {
  for (size_t slot = 0; slot < temporary_files.size(); ++slot) {
    const char* nothing = nullptr;
    if (temporary_files[slot].compare_exchange_strong(nothing, path)) return slot;
  }
  return temporary_files.size();
}
}  // namespace

void unlink_temporary_files() {
  for (const auto& entry : temporary_files)
    if (const char* path = entry.load()) unlink(path);
}

namespace {
struct TemporaryFile {
  fs::path path, made_for;
  int process;  // that made it
};

// Those in the folder; none where it cannot be read.
std::vector<TemporaryFile> temporary_files_in(const fs::path& folder) {
  constexpr size_t kMostDigits = 9;
  std::vector<TemporaryFile> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const size_t end = name.rfind(kTemporarySuffix);
    if (!name.starts_with(kTemporaryPrefix) || end == std::string::npos || end < kTemporaryPrefix.size()) continue;
    if (!fs::is_regular_file(entry.symlink_status(error))) continue;
    const std::string digits = name.substr(end + kTemporarySuffix.size());
    if (digits.empty() || digits.size() > kMostDigits || digits.find_first_not_of("0123456789") != std::string::npos)
      continue;
    out.push_back(
        {entry.path(), name.substr(kTemporaryPrefix.size(), end - kTemporaryPrefix.size()), std::stoi(digits)});
  }
  return out;
}

// A new file under the temporary name. One that is there is what an earlier process of this number left: another that
// runs in this name space has another number.
int create_temporary(const fs::path& path) {
  for (int tries_left = 2;; --tries_left) {
    const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (descriptor >= 0 || errno != EEXIST || tries_left == 0) return descriptor;
    std::error_code error;
    if (fs::is_regular_file(fs::symlink_status(path, error))) fs::remove(path, error);
  }
}
}  // namespace

void remove_temporaries_of(const fs::path& path) {
  const auto is_alive = [](int process) { return kill(process, 0) == 0 || errno != ESRCH; };
  std::error_code error;
  for (const auto& file : temporary_files_in(path.has_parent_path() ? path.parent_path() : fs::path(".")))
    if (file.made_for == path.filename() && !is_alive(file.process)) fs::remove(file.path, error);
}

void remove_temporaries_in(const fs::path& folder) {
  for (const auto& file : temporary_files_in(folder)) fs::remove(file.path);
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  temporary_ =
      path_.parent_path() / join_parts(kTemporaryPrefix, path_.filename().string(), kTemporarySuffix, getpid());
  slot_ = list_temporary(temporary_.c_str());
  descriptor_ = create_temporary(temporary_);
  if (descriptor_ < 0) {
    const int open_error = errno;
    forget_temporary();
    errno = open_error;
    fail_machine(path_, "creating");
  }
  buffer_.reserve(kBufferBytes);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
  forget_temporary();
}

// It bears its own name now, or was never made.
void AtomicFile::forget_temporary() {
  if (slot_ < temporary_files.size()) temporary_files[slot_].store(nullptr);
  slot_ = temporary_files.size();
  temporary_.clear();
}

void AtomicFile::write(const void* data, size_t size_bytes) {
  size_bytes_ += static_cast<int64_t>(size_bytes);
  buffer_.append(static_cast<const char*>(data), size_bytes);
  if (buffer_.size() >= kBufferBytes) flush();
}

void AtomicFile::flush() {
  const char* next = buffer_.data();
  size_t left = buffer_.size();
  while (left > 0) {
    const ssize_t n = ::write(descriptor_, next, left);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_machine(path_, "writing");
    next += n;
    left -= static_cast<size_t>(n);
  }
  buffer_.clear();
}

void AtomicFile::write_at(int64_t offset_bytes, const void* data, size_t size_bytes) {
  const char* next = static_cast<const char*>(data);
  for (size_t left = size_bytes; left > 0;) {
    const ssize_t n = pwrite(descriptor_, next, left, offset_bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_machine(path_, "writing");
    next += n;
    offset_bytes += n;
    left -= static_cast<size_t>(n);
  }
  size_bytes_ = std::max(size_bytes_, offset_bytes);
}

void AtomicFile::finish() {
  if (descriptor_ < 0) return;
  flush();
  if (fsync(descriptor_) != 0) fail_machine(path_, "syncing");
  if (close(std::exchange(descriptor_, -1)) != 0) fail_machine(path_, "closing");
}

void AtomicFile::commit() {
  finish();
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail_machine(path_, "renaming");
  forget_temporary();
  sync_folder(path_.has_parent_path() ? path_.parent_path() : fs::path("."));
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

void make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!fs::is_directory(path)) {
    for (fs::path part = path; !part.empty() && part != part.root_path(); part = part.parent_path())
      require<ConfigError>(!fs::exists(part) || fs::is_directory(part), part.string(), ": got a file; need a folder");
    fail<MachineError>(path.string(), ": got '", error.message(), "' on making the folder; need it to succeed");
  }
}

void sync_folder(const fs::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail_machine(path, "opening the folder");
  const int result = fsync(descriptor);
  const int sync_error = errno;
  close(descriptor);
  errno = sync_error;
  if (result != 0) fail_machine(path, "syncing the folder");
}

void rename_synced(const fs::path& from, const fs::path& to) {
  if (rename(from.c_str(), to.c_str()) != 0) fail_machine(to, "renaming");
  sync_folder(to.has_parent_path() ? to.parent_path() : fs::path("."));
}

MappedFile::MappedFile(const fs::path& path) {
  int64_t size_bytes = 0;
  const int descriptor = open_for_reading(path, size_bytes);
  size_ = static_cast<size_t>(size_bytes);
  if (size_ > 0) {
    void* address = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
    const int map_error = errno;
    struct stat info {};
    fstat(descriptor, &info);
    close(descriptor);
    errno = map_error;
    if (address == MAP_FAILED) fail_machine(path, "mapping");
    data_ = static_cast<const std::byte*>(address);
    mapping_ = list_mapping(data_, size_, {path.string(), info.st_dev, info.st_ino});
  } else {
    close(descriptor);
  }
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  forget_mapping(mapping_);
  munmap(const_cast<std::byte*>(data_), size_);
}
MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapping_(std::exchange(other.mapping_, nullptr)) {}
MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapping_, other.mapping_);
  return *this;
}

void MappedFile::require_whole() const {
  if (mapping_ != nullptr) require_whole_mapping(mapping_);
}

void MappedFile::release(size_t begin, size_t end) const {
  const auto page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  begin = begin / page_bytes * page_bytes;
  if (begin < end)
    madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);  // advice: a failure changes nothing
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.hex();
}

std::string sha256_file(const fs::path& path) {
  Sha256 hash;
  read_in_pieces(path, [&](std::string_view piece) { hash.add(piece); });
  return hash.hex();
}

}  // namespace evenkeel
