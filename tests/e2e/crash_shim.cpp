// An LD_PRELOAD library that crashes a process at its n-th change of the disk, for resume_test.py.
//   EVENKEEL_CRASH_UNDER  absolute folder, without symbolic links; only calls on paths in it count
//   EVENKEEL_CRASH_MODE   count | kill (SIGKILL before the n-th call) | fail (the n-th call and all later
//                         ones give ENOSPC, as a full disk does) | read_only (every call gives EROFS, and so does
//                         opening a file for writing)
//   EVENKEEL_CRASH_AT     n, from 1
//   EVENKEEL_CRASH_LOG    appended: "N CALL PATH" for each counted call (count), or for the n-th only
// Counted: write, writev, pwrite, sendfile, copy_file_range, fsync, fdatasync, truncate, ftruncate, rename,
// link, mkdir, opening with O_CREAT or fopen for writing, and unlink, rmdir and remove, which a full disk does not
// hinder: they are counted and killed before, but never fail. Every other call goes straight through, and without
// EVENKEEL_CRASH_UNDER all of them do.
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

constexpr size_t kPathBytes = 4096;

enum class Mode { off, count, kill, fail, read_only };

struct Settings {
  Mode mode = Mode::off;
  long at = 0;
  char under[kPathBytes] = "";
  char log[kPathBytes] = "";
};
Settings settings;             // written once, before main
std::atomic<long> n_calls{0};  // counted calls so far

void copy_text(char* to, const char* from) {
  if (from != nullptr) std::snprintf(to, kPathBytes, "%s", from);
}

__attribute__((constructor)) void read_settings() {
  const char* mode = std::getenv("EVENKEEL_CRASH_MODE");
  const char* under = std::getenv("EVENKEEL_CRASH_UNDER");
  const char* at = std::getenv("EVENKEEL_CRASH_AT");
  if (mode == nullptr || under == nullptr) return;
  copy_text(settings.under, under);
  copy_text(settings.log, std::getenv("EVENKEEL_CRASH_LOG"));
  settings.at = at == nullptr ? 0 : std::atol(at);
  if (std::strcmp(mode, "count") == 0) settings.mode = Mode::count;
  if (std::strcmp(mode, "kill") == 0) settings.mode = Mode::kill;
  if (std::strcmp(mode, "fail") == 0) settings.mode = Mode::fail;
  if (std::strcmp(mode, "read_only") == 0) settings.mode = Mode::read_only;
}

// The path behind a descriptor, "" when it has none.
void path_of_descriptor(int descriptor, char* out) {
  char link[64];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const long n = syscall(SYS_readlinkat, AT_FDCWD, link, out, kPathBytes - 1);
  out[n > 0 ? n : 0] = '\0';
}

void absolute_path(int folder, const char* path, char* out) {
  out[0] = '\0';
  if (path == nullptr) return;
  if (path[0] == '/') return copy_text(out, path);
  if (folder != AT_FDCWD) {
    path_of_descriptor(folder, out);
  } else if (syscall(SYS_getcwd, out, kPathBytes) < 0) {
    out[0] = '\0';
  }
  const size_t used = std::strlen(out);
  std::snprintf(out + used, kPathBytes - used, "/%s", path);
}

bool is_under(const char* path) {
  const size_t n = std::strlen(settings.under);
  return n > 0 && std::strncmp(path, settings.under, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

void log_call(long n, const char* call, const char* path) {
  if (settings.log[0] == '\0') return;
  char line[kPathBytes + 64];
  const int size = std::snprintf(line, sizeof line, "%ld %s %s\n", n, call, path);
  const long descriptor = syscall(SYS_openat, AT_FDCWD, settings.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) return;
  syscall(SYS_write, descriptor, line, size);
  syscall(SYS_close, descriptor);
}

// True when the call must fail. Kills the process when its turn has come.
bool counts_and_fails(const char* call, const char* path) {
  if (!is_under(path)) return false;
  const long n = ++n_calls;
  if (settings.mode == Mode::count || settings.mode == Mode::read_only || n == settings.at) log_call(n, call, path);
  if (settings.mode == Mode::kill && n == settings.at) syscall(SYS_kill, getpid(), SIGKILL);
  return settings.mode == Mode::read_only || (settings.mode == Mode::fail && n >= settings.at);
}

int refusal() { return settings.mode == Mode::read_only ? EROFS : ENOSPC; }

bool fails_on_descriptor(const char* call, int descriptor) {
  if (settings.mode == Mode::off) return false;
  const int saved = errno;
  char path[kPathBytes];
  path_of_descriptor(descriptor, path);
  const bool fails = counts_and_fails(call, path);
  errno = fails ? refusal() : saved;
  return fails;
}

bool fails_on_path(const char* call, int folder, const char* name) {
  if (settings.mode == Mode::off) return false;
  const int saved = errno;
  char path[kPathBytes];
  absolute_path(folder, name, path);
  const bool fails = counts_and_fails(call, path);
  errno = fails ? refusal() : saved;
  return fails;
}

// For a call that gives room back: a full disk does not hinder it.
bool only_counts(const char* call, int folder, const char* name) {
  const int saved = errno;
  if (fails_on_path(call, folder, name) && settings.mode == Mode::read_only) return true;
  errno = saved;
  return false;
}

bool opening_counts(int flags) {
  return (flags & O_CREAT) != 0 || (settings.mode == Mode::read_only && (flags & O_ACCMODE) != O_RDONLY);
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// Defines the libc function NAME under a name of our own, so that libc's declaration of it cannot disagree.
#define SHIM(RESULT, NAME, PARAMETERS, ARGUMENTS, FAILS)                            \
  extern "C" RESULT shim_##NAME PARAMETERS __asm__(#NAME);                          \
  extern "C" __attribute__((visibility("default"))) RESULT shim_##NAME PARAMETERS { \
    static const auto real = next<RESULT(*) PARAMETERS>(#NAME);                     \
    if (FAILS) return static_cast<RESULT>(-1);                                      \
    return real ARGUMENTS;                                                          \
  }

SHIM(ssize_t, write, (int fd, const void* data, size_t n), (fd, data, n), fails_on_descriptor("write", fd))
SHIM(ssize_t, writev, (int fd, const iovec* parts, int n), (fd, parts, n), fails_on_descriptor("writev", fd))
SHIM(ssize_t, pwrite, (int fd, const void* data, size_t n, off_t at), (fd, data, n, at),
     fails_on_descriptor("pwrite", fd))
SHIM(ssize_t, pwrite64, (int fd, const void* data, size_t n, off_t at), (fd, data, n, at),
     fails_on_descriptor("pwrite", fd))
SHIM(ssize_t, sendfile, (int to, int from, off_t* at, size_t n), (to, from, at, n), fails_on_descriptor("sendfile", to))
SHIM(ssize_t, sendfile64, (int to, int from, off_t* at, size_t n), (to, from, at, n),
     fails_on_descriptor("sendfile", to))
SHIM(ssize_t, copy_file_range, (int from, off_t* from_at, int to, off_t* to_at, size_t n, unsigned flags),
     (from, from_at, to, to_at, n, flags), fails_on_descriptor("copy_file_range", to))
SHIM(int, fsync, (int fd), (fd), fails_on_descriptor("fsync", fd))
SHIM(int, fdatasync, (int fd), (fd), fails_on_descriptor("fdatasync", fd))
SHIM(int, ftruncate, (int fd, off_t size), (fd, size), fails_on_descriptor("ftruncate", fd))
SHIM(int, ftruncate64, (int fd, off_t size), (fd, size), fails_on_descriptor("ftruncate", fd))
SHIM(int, truncate, (const char* path, off_t size), (path, size), fails_on_path("truncate", AT_FDCWD, path))
SHIM(int, truncate64, (const char* path, off_t size), (path, size), fails_on_path("truncate", AT_FDCWD, path))
SHIM(int, rename, (const char* from, const char* to), (from, to), fails_on_path("rename", AT_FDCWD, to))
SHIM(int, renameat, (int folder, const char* from, int to_folder, const char* to), (folder, from, to_folder, to),
     fails_on_path("rename", to_folder, to))
SHIM(int, renameat2, (int folder, const char* from, int to_folder, const char* to, unsigned flags),
     (folder, from, to_folder, to, flags), fails_on_path("rename", to_folder, to))
SHIM(int, link, (const char* from, const char* to), (from, to), fails_on_path("link", AT_FDCWD, to))
SHIM(int, linkat, (int folder, const char* from, int to_folder, const char* to, int flags),
     (folder, from, to_folder, to, flags), fails_on_path("link", to_folder, to))
SHIM(int, mkdir, (const char* path, mode_t mode), (path, mode), fails_on_path("mkdir", AT_FDCWD, path))
SHIM(int, mkdirat, (int folder, const char* path, mode_t mode), (folder, path, mode),
     fails_on_path("mkdir", folder, path))
SHIM(int, creat, (const char* path, mode_t mode), (path, mode), fails_on_path("open", AT_FDCWD, path))
SHIM(int, creat64, (const char* path, mode_t mode), (path, mode), fails_on_path("open", AT_FDCWD, path))

SHIM(int, unlink, (const char* path), (path), only_counts("unlink", AT_FDCWD, path))
SHIM(int, unlinkat, (int folder, const char* path, int flags), (folder, path, flags),
     only_counts("unlink", folder, path))
SHIM(int, rmdir, (const char* path), (path), only_counts("rmdir", AT_FDCWD, path))
SHIM(int, remove, (const char* path), (path), only_counts("remove", AT_FDCWD, path))

#define SHIM_FOPEN(NAME)                                                                                    \
  extern "C" FILE* shim_##NAME(const char* path, const char* mode) __asm__(#NAME);                          \
  extern "C" __attribute__((visibility("default"))) FILE* shim_##NAME(const char* path, const char* mode) { \
    static const auto real = next<FILE* (*)(const char*, const char*)>(#NAME);                              \
    if (std::strpbrk(mode, "wa+") != nullptr && fails_on_path("fopen", AT_FDCWD, path)) return nullptr;     \
    return real(path, mode);                                                                                \
  }
SHIM_FOPEN(fopen)
SHIM_FOPEN(fopen64)

// The mode is there only when the flags ask for it; reading an absent one is harmless but not allowed.
#define READ_MODE(FLAGS)                          \
  mode_t mode = 0;                                \
  if (((FLAGS) & (O_CREAT | __O_TMPFILE)) != 0) { \
    va_list rest;                                 \
    va_start(rest, FLAGS);                        \
    mode = va_arg(rest, mode_t);                  \
    va_end(rest);                                 \
  }
#define SHIM_OPEN(NAME)                                                                                 \
  extern "C" int shim_##NAME(const char* path, int flags, ...) __asm__(#NAME);                          \
  extern "C" __attribute__((visibility("default"))) int shim_##NAME(const char* path, int flags, ...) { \
    static const auto real = next<int (*)(const char*, int, ...)>(#NAME);                               \
    READ_MODE(flags)                                                                                    \
    if (opening_counts(flags) && fails_on_path("open", AT_FDCWD, path)) return -1;                      \
    return real(path, flags, mode);                                                                     \
  }
#define SHIM_OPENAT(NAME)                                                                                           \
  extern "C" int shim_##NAME(int folder, const char* path, int flags, ...) __asm__(#NAME);                          \
  extern "C" __attribute__((visibility("default"))) int shim_##NAME(int folder, const char* path, int flags, ...) { \
    static const auto real = next<int (*)(int, const char*, int, ...)>(#NAME);                                      \
    READ_MODE(flags)                                                                                                \
    if (opening_counts(flags) && fails_on_path("open", folder, path)) return -1;                                    \
    return real(folder, path, flags, mode);                                                                         \
  }
SHIM_OPEN(open)
SHIM_OPEN(open64)
SHIM_OPENAT(openat)
SHIM_OPENAT(openat64)
