// Reading, mapping, hashing, and writing that either leaves a whole file or none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace evenkeel {

namespace fs = std::filesystem;

struct Mapping;  // core/mappings.h

// MachineError "PATH: got ERRNO'S TEXT on ACTION; need it to succeed", right after the call that failed.
[[noreturn]] void fail_machine(const fs::path& path, const char* action);
// The descriptor and the size of a regular file. DataError when the path is missing or none; MachineError when it
// cannot be opened.
int open_for_reading(const fs::path& path, int64_t& size_bytes);

// DataError when the path is missing or no regular file; MachineError when reading fails, or when it got shorter.
std::string read_file(const fs::path& path, int64_t max_bytes = INT64_C(1) << 33);

// A file under a temporary name in the same folder, .evenkeel-NAME.tmpPID; commit() syncs it, renames it into place and
// syncs the folder. Destroyed without commit, it leaves nothing. Every failure is a MachineError with the path.
class AtomicFile {
 public:
  explicit AtomicFile(fs::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(const void* data, size_t size_bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  // Bytes at a place of their own, in any order; not for a file that write() appends to.
  void write_at(int64_t offset_bytes, const void* data, size_t size_bytes);
  void finish();  // writes and syncs the rest; only commit() may follow
  void commit();
  int64_t size_bytes() const { return size_bytes_; }

 private:
  void flush();
  void forget_temporary();
  fs::path path_, temporary_;
  size_t slot_;  // in the list that unlink_temporary_files() reads
  int descriptor_ = -1;
  int64_t size_bytes_ = 0;
  std::string buffer_;
};

// Removes what an AtomicFile left when its process was killed: one for `path`, where the process no longer lives; or
// any in `folder`, not in folders below, for the holder of a lock on it.
void remove_temporaries_of(const fs::path& path);
void remove_temporaries_in(const fs::path& folder);

// Removes the temporary file of every AtomicFile that is open, without a lock or an allocation: for a signal
// handler that ends the process next.
void unlink_temporary_files();

void write_file_atomically(const fs::path& path, std::string_view content);
void make_folders(const fs::path& path);                       // MachineError, or ConfigError when a file is there
void sync_folder(const fs::path& path);                        // MachineError
void rename_synced(const fs::path& from, const fs::path& to);  // rename, then sync of the parent folder

// A file mapped for reading. Empty files map to size 0. When the file shrinks or cannot be read, touching its pages
// ends the process with one line and exit code 4 (install_mapping_faults() of core/mappings.h).
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const fs::path& path);  // DataError when missing or not a regular file
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  // The pages of bytes begin .. end need not stay in memory; they are read again when they are touched.
  void release(size_t begin, size_t end) const;
  // MachineError when the file is shorter than it was: what was read before this call is what the file held, but the
  // rest of a last page would read as zeros, without a fault.
  void require_whole() const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  Mapping* mapping_ = nullptr;  // its entry in the list that the handler of faults reads
};

std::string sha256_hex(std::string_view bytes);
std::string sha256_file(const fs::path& path);  // errors as read_file

}  // namespace evenkeel
