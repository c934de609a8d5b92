#include "core/mappings.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/errors.h"
#include "core/file_io.h"

namespace evenkeel {

// One entry of a list that only grows. `begin` is 0 while the entry is free; the handler looks at the others.
struct Mapping {
  std::atomic<bool> is_taken{true};
  std::atomic<uintptr_t> begin{0};
  size_t size_bytes = 0;
  MappedSource source{};
  Mapping* next = nullptr;
};

namespace {

constexpr std::string_view kErrorPrefix = "evenkeel: error: ";

// A signal handler has no other way to what it must know, hence the globals.
std::atomic<Mapping*> mappings{nullptr};
using Text = std::array<char, 4096>;
int report_descriptor = STDERR_FILENO;
Text report_prefix{}, log_path{};

void set_text(Text& text, std::string_view value) {
  text.fill('\0');
  std::copy_n(value.data(), std::min(value.size(), text.size() - 1), text.data());
}

// The present size of the file that was mapped; -1 where it is gone or another one bears its name.
int64_t present_bytes(const Mapping& mapping) {
  struct stat info {};
  if (stat(mapping.source.path.c_str(), &info) != 0) return -1;
  return info.st_dev == mapping.source.device && info.st_ino == mapping.source.inode
             ? static_cast<int64_t>(info.st_size)
             : -1;
}

// One line put together without an allocation.
class Line {
 public:
  Line& add(std::string_view text) {
    const size_t n = std::min(text.size(), sizeof text_ - 1 - size_);
    std::memcpy(text_ + size_, text.data(), n);
    size_ += n;
    return *this;
  }
  Line& add(uint64_t number) {
    char digits[20];
    size_t first = sizeof digits;
    do {
      digits[--first] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0);
    return add(std::string_view(digits + first, sizeof digits - first));
  }
  // With the newline, in one call so that lines of several processes do not mix.
  void write_to(int descriptor) {
    text_[size_] = '\n';
    if (write(descriptor, text_, size_ + 1) < 0) return;  // nobody is left to be told
  }

 private:
  char text_[3 * sizeof(Text)];
  size_t size_ = 0;
};

void add_message(Line& line, const Mapping& mapping, uintptr_t address) {
  const int64_t bytes = present_bytes(mapping);
  line.add(mapping.source.path);
  if (bytes >= 0 && static_cast<size_t>(bytes) < mapping.size_bytes) {
    line.add(": got ")
        .add(static_cast<uint64_t>(bytes))
        .add(" bytes while it is read; need the ")
        .add(mapping.size_bytes);
    line.add(" that it had when it was opened");
  } else {
    line.add(": got a failure on reading byte ")
        .add(address - mapping.begin.load())
        .add("; need a file that can be read");
  }
}

// Calls only what a signal handler may call.
void on_fault(int signal_number, siginfo_t* info, void*) {
  static std::atomic_flag is_reporting = ATOMIC_FLAG_INIT;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (const Mapping* mapping = mappings.load(); mapping != nullptr; mapping = mapping->next) {
    const uintptr_t begin = mapping->begin.load();
    if (begin == 0 || address < begin || address - begin >= mapping->size_bytes) continue;
    while (is_reporting.test_and_set()) pause();  // another thread met the same and ends the process
    Line line;
    line.add(report_prefix[0] == '\0' ? kErrorPrefix : std::string_view(report_prefix.data()));
    add_message(line, *mapping, address);
    line.write_to(report_descriptor);
    if (const int log = log_path[0] == '\0' ? -1 : open(log_path.data(), O_WRONLY | O_APPEND | O_CLOEXEC); log >= 0) {
      Line copy;
      copy.add(kErrorPrefix);
      add_message(copy, *mapping, address);
      copy.write_to(log);
    }
    unlink_temporary_files();
    constexpr int kMachine = 4;
    _exit(kMachine);
  }
  signal(signal_number, SIG_DFL);  // the instruction is tried again, and does what it did without this handler
}

}  // namespace

Mapping* list_mapping(const void* data, size_t size_bytes, const MappedSource& source) {
  Mapping* entry = mappings.load();
  while (entry != nullptr && entry->is_taken.exchange(true)) entry = entry->next;
  const bool is_new = entry == nullptr;
  if (is_new) entry = new Mapping;
  entry->size_bytes = size_bytes;
  entry->source = source;
  entry->begin.store(reinterpret_cast<uintptr_t>(data));
  if (is_new) {
    entry->next = mappings.load();
    while (!mappings.compare_exchange_weak(entry->next, entry)) {
    }
  }
  return entry;
}

void forget_mapping(Mapping* mapping) {
  mapping->begin.store(0);
  mapping->is_taken.store(false);
}

void require_whole_mapping(const Mapping* mapping) {
  const int64_t bytes = present_bytes(*mapping);
  require<MachineError>(bytes < 0 || static_cast<size_t>(bytes) >= mapping->size_bytes, mapping->source.path, ": got ",
                        bytes, " bytes while it is read; need the ", mapping->size_bytes,
                        " that it had when it was opened");
}

void install_mapping_faults() {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

void report_mapping_faults_to(int descriptor, const std::string& prefix) {
  report_descriptor = descriptor;
  set_text(report_prefix, prefix);
}

void copy_mapping_faults_to(const std::string& log) { set_text(log_path, log); }

}  // namespace evenkeel
